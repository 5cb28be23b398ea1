"""Somebody's own frame features, an .npz or a Parquet file, as a draft of a catalog and one sequence a video.

Everything in such a file is checked before any of it is used: it is never unpickled, and what reading it would allocate
is counted first (see unpacked.py). Axes: N videos, L frames, E numbers of a frame's embedding.
"""

import io
import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from actionrec.catalog.source import SPLIT_NAMES, Draft, Video, nfc
from actionrec.errors import InputError
from actionrec.schema import SPLITS
from actionrec.unpacked import npz_headers, parquet_bytes, plain_footer

ARRAYS = "feat [N, L, E], label [N], name [N], and if known group [N] and is_train [N]"
COPY_BYTES = 4  # of each number that is not float32 yet, and of each text: made beside what is read
COLUMNS = "video_id, embedding (a list of lists of floats, all as long), and if known label, group and split"


@dataclass(frozen=True)
class Imported:
    """The videos of a file of features, and their sequences."""

    draft: Draft
    numbered: bool  # groups are numbers that repeat across classes, as UCF101's
    sequences: Sequence[NDArray[np.float32]]  # [L, E] each, in the order of draft.videos


def read_features(data: bytes, name: str, limit_bytes: float) -> Imported:
    """The features of the file `name`, told by its extension.

    Raises:
        InputError: the file is of another kind, holds more than `limit_bytes` unpacked, is damaged, lacks something,
            contradicts itself, or holds a number that is NaN or infinite.
    """
    kind = posixpath.splitext(name)[1].lower()
    if kind not in (".npz", ".parquet"):
        raise InputError(f"{name}: features are imported from .npz ({ARRAYS}) or .parquet ({COLUMNS})")
    found = _npz(data, name, limit_bytes) if kind == ".npz" else _parquet(data, name, limit_bytes)
    _check(found, name)
    return found


def _npz(data: bytes, name: str, limit_bytes: float) -> Imported:
    arrays = _arrays(data, name, limit_bytes)
    for key in ("feat", "label", "name"):
        if key not in arrays:
            raise InputError(f"{name}: there is no array {key!r}; it must hold {ARRAYS}")
    feat_NLE = arrays["feat"]
    if feat_NLE.ndim != 3 or not feat_NLE.size or feat_NLE.dtype.kind not in "fiu":
        raise InputError(f"{name}: feat is {feat_NLE.dtype} {list(feat_NLE.shape)}; it must be numbers [N, L, E]")
    for key, kinds in {"label": "iuU", "name": "U", "group": "iuU", "is_train": "b"}.items():
        if key in arrays and (arrays[key].shape != feat_NLE.shape[:1] or arrays[key].dtype.kind not in kinds):
            wanted = {"U": "text", "b": "truth value"}.get(kinds, "whole number or text")
            raise InputError(
                f"{name}: {key} is {arrays[key].dtype} {list(arrays[key].shape)}, which is not one {wanted} for each "
                f"of the {len(feat_NLE)} videos of feat"
            )
    ids = [nfc(each) for each in arrays["name"].tolist()]
    labels, classes = _labels(arrays["label"], ids)
    groups, numbered = _groups(arrays.get("group"), labels)
    train_N = arrays.get("is_train")
    splits = [None] * len(ids) if train_N is None else ["train" if each else "test" for each in train_N.tolist()]
    rows = zip(ids, labels, groups, splits, strict=True)
    videos = [Video(video_id, None, label, group, split, None) for video_id, label, group, split in rows]
    return Imported(Draft(videos, classes=classes), numbered, list(_float32(feat_NLE)))


def _arrays(data: bytes, name: str, limit_bytes: float) -> dict[str, NDArray[Any]]:
    wanted = ("feat", "label", "name", "group", "is_train")
    try:
        headers = npz_headers(data, wanted)
        copies = sum(COPY_BYTES * math.prod(header.shape) for header in headers.values() if header.dtype != np.float32)
        refuse_size(sum(header.size_bytes for header in headers.values()) + copies, name, limit_bytes)
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {key: stored[key] for key in headers}
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile, its decompressors and numpy each raise their own kinds
        raise InputError(f"{name}: not a file of plain arrays ({_why(error)}); save it anew") from None


def _labels(label_N: NDArray[Any], ids: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Each video's class, and the classes in their order. Numbers take the names of the folders that they stand for.

    That is where every number has a folder to itself in the names, as in ApplyLipstick/v_ApplyLipstick_g01_c01.avi.
    """
    if label_N.dtype.kind == "U":
        return [nfc(each) for each in label_N.tolist()], None
    numbers = sorted(set(label_N.tolist()))
    pairs = sorted({(number, posixpath.dirname(each)) for number, each in zip(label_N.tolist(), ids, strict=True)})
    names = [folder for _, folder in pairs]
    if len(pairs) != len(numbers) or len(set(names)) != len(names) or not all(names):
        names = [str(number) for number in numbers]
    named = dict(zip(numbers, names, strict=True))
    return [named[each] for each in label_N.tolist()], names


def _groups(group_N: NDArray[Any] | None, labels: Sequence[str]) -> tuple[list[str | None], bool]:
    """Each video's group. A number means another recording in each class, as the XX of UCF101's Class_gXX."""
    if group_N is None:
        return [None] * len(labels), False
    if group_N.dtype.kind == "U":
        return [nfc(each) or None for each in group_N.tolist()], False
    return [f"{label}_g{number:02d}" for label, number in zip(labels, group_N.tolist(), strict=True)], True


def _parquet(data: bytes, name: str, limit_bytes: float) -> Imported:
    table = _table(data, name, limit_bytes)
    ids = [nfc(each) for each in table["video_id"].to_pylist()]
    known = table.column_names
    given = [table[key].to_pylist() if key in known else [None] * len(ids) for key in ("label", "group", "split")]
    rows = list(zip(ids, *given, strict=True))
    for video_id, _, _, split in rows:
        if split is not None and split.lower() not in SPLIT_NAMES:
            raise InputError(f"{name}: {video_id!r} has the split {split[:80]!r}, not one of {', '.join(SPLITS)}")
    videos = [
        Video(video_id, None, label and nfc(label), group and nfc(group), split and SPLIT_NAMES[split.lower()], None)
        for video_id, label, group, split in rows
    ]
    return Imported(Draft(videos), False, [_sequence(row) for row in table["embedding"]])


def _table(data: bytes, name: str, limit_bytes: float) -> pa.Table:
    """The table as lists of lists and texts, whatever its writer called them; texts stay where they are stored once."""
    try:
        footer = plain_footer(data)
        columns = footer.schema.to_arrow_schema()
        texts = [key for key in ("video_id", "label", "group", "split") if key == "video_id" or key in columns.names]
        for key in ("embedding", *texts):
            kind = columns.field(key).type
            if not (_is_vectors(kind) if key == "embedding" else kind in (pa.string(), pa.null())):
                raise TypeError(f"{key} is {kind}")
        size = parquet_bytes(data, ("embedding", *texts))
        refuse_size(size, name, limit_bytes)
        table = pq.ParquetFile(pa.BufferReader(data), metadata=footer, read_dictionary=texts).read(
            ["embedding", *texts]
        )
        refuse_size(size + sum(map(_text_bytes, table.columns)), name, limit_bytes)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file makes Arrow raise many kinds, MemoryError among them
        raise InputError(f"{name}: not a table of features ({_why(error)}); it must hold {COLUMNS}") from None
    if table["video_id"].null_count:
        raise InputError(f"{name}: a video_id is null; every row must name its video")
    return table


def _is_vectors(kind: pa.DataType) -> bool:
    is_nested = pa.types.is_list(kind) and pa.types.is_list(kind.value_type)
    return bool(is_nested and pa.types.is_floating(kind.value_type.value_type))


def _text_bytes(column: pa.ChunkedArray) -> int:
    """What a column of texts takes once each row has its own copy; 0 for other columns."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = (pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(pc.cast(each, pa.int64())).as_py() or 0 for each in lengths)


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _sequence(row: pa.Scalar) -> NDArray[np.float32]:
    """float32 [L, E]; no frames where the row, or one of its frames, is null, or frames differ in width."""
    frames = row.values
    is_whole = frames is not None and not frames.null_count and not frames.flatten().null_count
    if not is_whole or len(pc.list_value_length(frames).unique()) != 1:
        return np.zeros((0, 1), np.float32)
    return _float32(frames.flatten().to_numpy(zero_copy_only=False)).reshape(len(frames), -1)


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is refused with the video's name
        return values.astype(np.float32, copy=False)


def refuse_size(size: float, name: str, limit_bytes: float) -> None:
    """InputError where a file that takes `size` bytes takes too many."""
    if size > limit_bytes:
        raise InputError(
            f"{name}: it unpacks to {size / 2**30:.3g} GiB, more than limits.file_gib={limit_bytes / 2**30:.3g} "
            "allows; raise the limit or cut the file"
        )


def _check(found: Imported, name: str) -> None:
    videos = found.draft.videos
    if not videos:
        raise InputError(f"{name}: there is no video in it")
    seen: set[str] = set()
    for video, sequence_LE in zip(videos, found.sequences, strict=True):
        if not video.video_id or video.video_id in seen:
            raise InputError(f"{name}: the name {video.video_id!r} stands twice, or is empty; each video needs its own")
        seen.add(video.video_id)
        if not sequence_LE.size or not np.isfinite(sequence_LE).all():
            raise InputError(
                f"{name}: the features of {video.video_id!r} are empty or hold a number that is null, NaN or infinite "
                "as float32, or frames of several widths; mend or remove it"
            )
        if sequence_LE.shape[1] != (width := found.sequences[0].shape[1]):
            raise InputError(
                f"{name}: {video.video_id!r} has {sequence_LE.shape[1]} numbers a frame, the first video {width}; "
                "all must have as many"
            )
