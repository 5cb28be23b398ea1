"""Imported features as the spatial stream of a root: a catalog and committed parts, as if they had been extracted."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actionrec import schema
from actionrec.catalog.imported import Imported, read_features, refuse_size
from actionrec.catalog.table import Catalog, assemble
from actionrec.errors import GoneError, InputError
from actionrec.storage import layout, parts
from actionrec.storage.records import fingerprint
from actionrec.storage.root import Root, begin
from actionrec.storage.store import named_file
from actionrec.storage.streams import STREAMS

STREAM = STREAMS["spatial"]


@dataclass(frozen=True)
class Import:
    """What came of it."""

    table: pa.Table  # the catalog
    width: int  # E
    warnings: list[str]


def import_features(root: Root, on_videos: Callable[[int, int], None] = lambda done, videos: None) -> Import:
    """Make the file data.source the catalog and the spatial stream of a root. A rerun goes on where the last ended.

    InputError, and nothing written: the file cannot be used as it is, or another one has been imported here.
    """
    source = str(root.config.data.source)
    limit_bytes = root.config.limits.file_gib * 2**30
    data = _read(root, source, limit_bytes)
    found = read_features(data, source, limit_bytes)
    catalog = assemble(found.draft, root.config.data, root.config.seed, numbered=found.numbered)
    inputs = {"imported features": hashlib.sha256(data).hexdigest()}
    root.clear("catalog", inputs)
    mark = begin(root, STREAM.name, inputs)
    if not root.begun("catalog"):
        root.store.put(layout.CATALOG, schema.to_parquet(catalog.table, fingerprint("catalog", root.config, {})))
    width = _write_parts(root, mark, catalog, found, on_videos)
    return Import(catalog.table, width, catalog.warnings)


def _read(root: Root, source: str, limit_bytes: float) -> bytes:
    store, name = named_file(source, root.config.storage)
    try:
        refuse_size(store.size(name) or 0, source, limit_bytes)
        return store.read(name)
    except FileNotFoundError:
        raise GoneError(f"{source}: the file is not there") from None
    except PermissionError:
        raise InputError(f"{source}: the file may not be read") from None


def _write_parts(
    root: Root, mark: str, catalog: Catalog, found: Imported, on_videos: Callable[[int, int], None]
) -> int:
    sequences = dict(zip((video.video_id for video in found.draft.videos), found.sequences, strict=True))
    width: int = found.sequences[0].shape[1]
    ids, part_videos = catalog.table["video_id"].to_pylist(), root.config.extract.part_videos
    planned = parts.plan(root.store, ids, part_videos, mark, {STREAM.name: mark})
    finished, done = parts.committed(root.store, STREAM.name), 0
    for part, ids in planned.items():
        if part not in finished:
            _write_part(root, mark, part, ids, [sequences[video_id] for video_id in ids], width)
        done += len(ids)
        on_videos(done, len(sequences))
    return width


def _write_part(
    root: Root, mark: str, part: int, ids: Sequence[str], sequences: Sequence[NDArray[np.float32]], width: int
) -> None:
    rows = [
        (
            video_id,
            {"frame_index": np.arange(len(sequence_LE), dtype=np.int32), "time_s": None, "embedding": sequence_LE},
        )
        for video_id, sequence_LE in zip(ids, sequences, strict=True)
    ]
    status = [{"video_id": video_id, "stream": STREAM.name, "status": "ok"} for video_id in ids]
    tables = {
        layout.feature(STREAM.name, part): schema.feature_table(STREAM.schema(width), rows),
        layout.commit_mark(STREAM.name, part): pa.Table.from_pylist(status, schema=schema.STATUS),
    }
    for key, table in tables.items():
        root.store.put(key, schema.to_parquet(table, mark))
