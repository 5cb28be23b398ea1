"""Parts that are computed again, without losing what is good in them.

A part is reopened: the good rows of its commit mark are stored aside, then the mark goes. Whoever computes the part
takes the features of those rows over from the files that still lie there, so only what failed or changed is computed,
and a video whose file has gone since loses nothing. The rows that were stored aside go once the part has its mark anew;
until then a kill at any moment leaves them, and the feature files hold them before and after they are written again.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import schema
from actionrec.errors import InputError
from actionrec.storage import layout, parts
from actionrec.storage.store import Store


def failed(store: Store, fingerprint: str) -> None:
    """Let the failed streams of all videos be computed again, and nothing else."""
    table = parts.statuses(store, fingerprint)
    _reopen(store, fingerprint, set(table.filter(pc.equal(table["status"], "failed"))["part"].to_pylist()))


def incomplete(store: Store, fingerprint: str) -> None:
    """Let what is missing be computed again where a part has its mark, and not all the files that it vouches for."""
    marked = {layout.part_of_mark(key) for key in store.sizes(layout.STATUS)} - {None}
    _reopen(store, fingerprint, {part for part in marked if part is not None} - parts.committed(store).keys())


def changed(store: Store, fingerprint: str, video_ids: Collection[str]) -> None:
    """Let these videos be computed again, for their files are others now.

    What was made of them and would not be noticed as out of date goes at once: video embeddings, held-out classes.
    """
    wanted = set(video_ids)
    planned = parts.planned(store).items()
    _reopen(store, fingerprint, {part for part, ids in planned if not wanted.isdisjoint(ids)}, wanted)
    for output in _outputs(store):
        store.delete(f"{output}{layout.EMBEDDINGS}")
    for kind in ("md", "parquet"):
        store.delete(layout.table("anomaly_holdout", kind))


def _reopen(store: Store, fingerprint: str, numbers: Collection[int], without: Collection[str] = ()) -> None:
    """Take back the marks of these parts, once what stays good is stored: all but failed rows and videos of `without`.

    A part that has lost its mark already may lose more. Motion features follow: they are made anew from the flow.
    """
    outputs = _outputs(store) if numbers else []
    for part in sorted(numbers):
        data = _read_if_there(store, layout.commit_mark(part)) or _read_if_there(store, layout.reopened(part))
        if data is not None:
            table = schema.from_parquet(data, schema.STATUS, f"{store.url}/{layout.commit_mark(part)}")
            is_good = pc.and_(
                pc.not_equal(table["status"], "failed"),
                pc.invert(pc.is_in(table["video_id"], pa.array(sorted(without), pa.string()))),
            )
            kept = table.filter(is_good) if schema.fingerprint_of(data) == fingerprint else table[:0]
            store.put(layout.reopened(part), schema.to_parquet(kept, fingerprint))
        for output in outputs:
            store.delete(f"{output}{layout.commit_mark(part, 'motion')}")
        store.delete(layout.commit_mark(part))


def _outputs(store: Store) -> list[str]:
    """The prefixes under which something is learnt: the root itself, and a folder for each class that is held out."""
    held_out = {key.removeprefix(layout.HOLDOUT).partition("/")[0] for key in store.sizes(layout.HOLDOUT)}
    return ["", *(f"{layout.HOLDOUT}{folder}/" for folder in sorted(held_out))]


def _read_if_there(store: Store, key: str) -> bytes | None:
    try:
        return store.read(key)
    except FileNotFoundError:
        return None


class Kept:
    """What whoever computes a part need not compute: rows that a reopened part's former mark calls good.

    Only what still lies in a feature file of the same fingerprint is kept.
    """

    def __init__(self, store: Store, part: int, fingerprint: str, schemas: Mapping[str, pa.Schema]) -> None:
        """`schemas`: the table of each stream."""
        self._store, self._key, self._is_reopened = store, layout.reopened(part), False
        self._rows: dict[str, dict[str, dict[str, Any]]] = {}  # video_id -> stream -> its row of STATUS
        self._tables = {stream: table_schema.empty_table() for stream, table_schema in schemas.items()}
        data = _read_if_there(store, self._key)
        if data is None or schema.fingerprint_of(data) != fingerprint:
            return
        self._is_reopened = True
        self._tables = {
            stream: _read_feature(store, stream, part, fingerprint, table_schema)
            for stream, table_schema in schemas.items()
        }
        there = {stream: set(table["video_id"].to_pylist()) for stream, table in self._tables.items()}
        for row in schema.from_parquet(data, schema.STATUS, f"{store.url}/{self._key}").to_pylist():
            if row["status"] == "no_audio" or row["video_id"] in there[row["stream"]]:
                self._rows.setdefault(row["video_id"], {})[row["stream"]] = row

    def of(self, video_id: str) -> dict[str, dict[str, Any]]:
        """Stream -> the status row of what is kept of a video."""
        return self._rows.get(video_id, {})

    def agree(self, video_id: str, sha256: str | None) -> None:
        """Keep nothing of a video whose bytes, read again, have another hash than they had. None: not read."""
        before = {row["sha256"] for row in self.of(video_id).values()} - {None}
        if sha256 is not None and before - {sha256}:
            del self._rows[video_id]

    def forget(self) -> None:
        """The part has its mark, which now vouches for what was kept."""
        if self._is_reopened:
            self._store.delete(self._key)

    def merged(self, stream: str, table: pa.Table, video_ids: Sequence[str]) -> pa.Table:
        """The newly computed rows and those kept, in the order of `video_ids`."""
        computed = set(table["video_id"].to_pylist())
        wanted = {i for i in video_ids if i not in computed and self.of(i).get(stream, {}).get("status") == "ok"}
        if not wanted:
            return table
        old = self._tables[stream]
        rows = pa.concat_tables([table, old.filter(pc.is_in(old["video_id"], pa.array(sorted(wanted), pa.string())))])
        places = {video_id: place for place, video_id in enumerate(rows["video_id"].to_pylist())}
        return rows.take([places[video_id] for video_id in video_ids if video_id in places]).combine_chunks()


def _read_feature(store: Store, stream: str, part: int, fingerprint: str, table_schema: pa.Schema) -> pa.Table:
    """A stream's file of a part; no rows where it is gone, damaged, or another extraction's."""
    data = _read_if_there(store, layout.feature(stream, part))
    with contextlib.suppress(InputError):  # what cannot be read is computed again
        if data is not None and schema.fingerprint_of(data) == fingerprint:
            schema.refuse_bomb(data, layout.feature(stream, part))
            return schema.from_parquet(data, table_schema, layout.feature(stream, part)).cast(table_schema)
    return table_schema.empty_table()
