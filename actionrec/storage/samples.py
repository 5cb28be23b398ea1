"""What models learn from: which videos of which part have a stream, their classes and splits, and their features."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actionrec import schema
from actionrec.catalog.checks import problems
from actionrec.errors import InputError
from actionrec.storage import layout, parts
from actionrec.storage.root import Root, made_from, record
from actionrec.storage.stages import STAGES
from actionrec.storage.store import Store
from actionrec.storage.streams import STREAMS


@dataclass(frozen=True)
class Sample:
    """A video that has a stream. `target` is its class's place in `labels`, None where that class is not learnt."""

    video_id: str
    part: int
    split: str | None
    target: int | None
    revision: int = 0  # how often its file has changed

    @property
    def content(self) -> tuple[str | int, ...]:
        """What names the video's content in a hash."""
        return (self.video_id, self.revision) if self.revision else (self.video_id,)


@dataclass(frozen=True)
class Samples:
    """All videos that have a stream, in the order of parts, and the classes that are learnt."""

    stream: str
    labels: list[str]  # of the training split, by class_index
    videos: list[Sample]

    def of(self, split: str) -> list[Sample]:
        """Those that can be learnt from or judged by."""
        return [video for video in self.videos if video.split == split and video.target is not None]

    def digest(self) -> str:
        """A hash of what training and choosing depend on. Test videos have no say."""
        used = [(*v.content, v.split, v.target) for v in self.videos if v.split in ("train", "val")]
        return hashlib.sha256(json.dumps([self.labels, sorted(used, key=str)]).encode()).hexdigest()[:16]


def samples(root: Root, stream: str) -> Samples:
    """Which committed videos have `stream`. InputError where training on them makes no sense, or none have it."""
    catalog = root.catalog()
    if wrong := problems(catalog):
        raise InputError(f"{root.store.url}: {wrong[0]}")
    result = _samples(root, stream, catalog)
    for split in ("train", "val"):
        if not result.of(split):
            raise InputError(
                f"{root.store.url}: no {split} video has the stream {stream}; leave it out with --set streams=[...], "
                "or look into features/status for the reason"
            )
    return result


def learnt_inputs(root: Root, stream: str) -> dict[str, str]:
    """What a network that learns from `stream` is made from: the stream, and the videos that it learns from."""
    return made_from(root, stream) | {"videos": _samples(root, stream, root.catalog()).digest()}


def tune_inputs(root: Root) -> dict[str, str]:
    """What the sweep is made from: as any recurrent network, and the videos that it is judged by."""
    stream = root.config.tune.stream
    tested = sorted((*video.content, video.target) for video in samples(root, stream).of("test"))
    digest = hashlib.sha256(json.dumps(tested).encode()).hexdigest()[:16]
    return learnt_inputs(root, stream) | {"test videos": digest}


def _samples(root: Root, stream: str, catalog: pa.Table) -> Samples:
    return sampled(stream, catalog, with_stream(root, stream))


def sampled(stream: str, catalog: pa.Table, by_part: Mapping[int, Sequence[str]]) -> Samples:
    """The videos of the catalog that have `stream`, which are given part by part."""
    labels = class_labels(catalog)
    places = {label: place for place, label in enumerate(labels)}
    columns = (catalog[name].to_pylist() for name in ("video_id", "split", "label", "revision"))
    rows = {
        video_id: (split, places.get(label), revision or 0)
        for video_id, split, label, revision in zip(*columns, strict=True)
    }
    found = [
        Sample(video_id, part, *rows[video_id])
        for part, ids in sorted(by_part.items())
        for video_id in ids
        if video_id in rows
    ]
    return Samples(stream, labels, found)


def class_labels(catalog: pa.Table) -> list[str]:
    """The labels of the training split by class_index: the order of every model's outputs."""
    train = catalog.filter(pc.and_(pc.equal(catalog["split"], "train"), pc.is_valid(catalog["label"])))
    pairs = zip(train["class_index"].to_pylist(), train["label"].to_pylist(), strict=True)
    return [label for _, label in sorted(set(pairs))]


def revisions(catalog: pa.Table) -> list[tuple[str, int]]:
    """(video_id, how often) of the videos whose files have changed since they were first used."""
    found = catalog.filter(pc.is_valid(catalog["revision"])).sort_by("video_id")
    return list(zip(found["video_id"].to_pylist(), found["revision"].to_pylist(), strict=True))


def extracted(root: Root, streams: Sequence[str]) -> dict[int, list[str]]:
    """Part -> its catalogued videos, of the parts that are committed for all of these streams."""
    tables = [parts.statuses(store_of(root, stream), stream, made_with(root, stream)) for stream in streams]
    table = tables[0].filter(pc.is_in(tables[0]["video_id"], root.catalog()["video_id"].combine_chunks()))
    for other in tables[1:]:
        table = table.filter(pc.is_in(table["part"], other["part"].combine_chunks()))
    return parts.by_part(table)


def with_stream(root: Root, stream: str) -> dict[int, list[str]]:
    """Part -> its videos that have `stream`, of committed parts only."""
    table = parts.statuses(store_of(root, stream), stream, made_with(root, stream))
    return parts.by_part(table.filter(pc.equal(table["status"], "ok")))


def store_of(root: Root, stream: str) -> Store:
    """Where a stream's features lie."""
    return root.store if STAGES[stream].shared else root.output


def made_with(root: Root, stream: str) -> str:
    """The fingerprint that every file of a stream's features must carry to be used."""
    return str(record(root, stream)["fingerprint"])


def all_made(root: Root) -> dict[str, str]:
    """Stream -> its fingerprint, of all streams of decoded videos that have begun here."""
    return {name: made_with(root, name) for name, row in STREAMS.items() if row.decoded and root.begun(name)}


def read_sequences(
    store: Store, stream: str, part: int, video_ids: Iterable[str], fingerprint: str
) -> dict[str, NDArray[np.float32]]:
    """Embeddings float32 [L, E] of these videos of a part.

    InputError names the file: it is of another fingerprint, or the video that it lacks.
    """
    key = layout.feature(stream, part)
    data = _read(store, stream, part, fingerprint)
    table = schema.from_parquet(data, STREAMS[stream].schema_of(data, f"{store.url}/{key}"), key)
    rows = _rows(table, stream, video_ids, f"{store.url}/{key}")
    sequences: dict[str, NDArray[np.float32]] = {}
    for video_id, row in rows.items():
        vectors = table["embedding"][row].values
        width = vectors.type.list_size
        sequence = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        if len(sequence) == 0 or not np.isfinite(sequence).all():
            raise InputError(
                f"{store.url}/{key}: {video_id!r} has an empty sequence, NaN or infinity; extract it again"
            )
        sequences[video_id] = sequence
    return sequences


def read_streams(
    stores: Mapping[str, tuple[Store, str]], part: int, items: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Video -> stream -> its embeddings float32 [L, E], of a part; an item names a video and its streams.

    `stores`: where each stream lies, and the fingerprint of its files. Errors as above.
    """
    found: dict[str, dict[str, NDArray[np.float32]]] = {item["video_id"]: {} for item in items}
    for stream, (store, fingerprint) in stores.items():
        ids = [item["video_id"] for item in items if stream in item["streams"]]
        for video_id, sequence in read_sequences(store, stream, part, ids, fingerprint).items() if ids else ():
            found[video_id][stream] = sequence
    return found


def read_rows(
    store: Store, stream: str, part: int, video_ids: Iterable[str], table_schema: pa.Schema, fingerprint: str
) -> dict[str, Mapping[str, Any]]:
    """The rows of these videos, column by column as `table_schema` has them, in Python's own types; errors as above."""
    key = layout.feature(stream, part)
    table = schema.from_parquet(_read(store, stream, part, fingerprint), table_schema, f"{store.url}/{key}")
    rows = _rows(table, stream, video_ids, f"{store.url}/{key}")
    return {video_id: table.slice(row, 1).to_pylist()[0] for video_id, row in rows.items()}


def _read(store: Store, stream: str, part: int, fingerprint: str) -> bytes:
    key = layout.feature(stream, part)
    try:
        data = store.read(key)
    except FileNotFoundError:
        raise InputError(f"{store.url}/{key}: the file is gone; run again what makes it") from None
    if (found := schema.fingerprint_of(data)) != fingerprint:
        raise InputError(
            f"{store.url}/{key}: these features are not this root's ({found or 'no'} fingerprint, not {fingerprint}), "
            "so they are not used; delete the file and run again what makes it"
        )
    schema.refuse_bomb(data, f"{store.url}/{key}")
    return data


def _rows(table: pa.Table, stream: str, video_ids: Iterable[str], name: str) -> dict[str, int]:
    places = {video_id: row for row, video_id in enumerate(table["video_id"].to_pylist())}
    wanted = list(video_ids)
    if missing := [video_id for video_id in wanted if video_id not in places]:
        raise InputError(
            f"{name}: {missing[0]!r} is not in it, though its status says so; "
            "delete the file and run again what makes it"
        )
    return {video_id: places[video_id] for video_id in wanted}
