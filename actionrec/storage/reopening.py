"""Parts that are computed again for a stream, without losing what is good in them.

A part is reopened: the good rows of its commit mark are stored aside, then the mark goes. Whoever computes the part
takes the features of those rows over from the file that still lies there, so only what failed or changed is computed,
and a video whose file has gone since loses nothing. The rows that were stored aside go once the part has its mark anew;
until then a kill at any moment leaves them, and the feature file holds them before and after it is written again.

What `extract --reuse` takes over of a part that it does not get whole is noted likewise. Its features have a key of
their own then, which holds all that is kept of the part: under the key of its features a driver of the same time may
have stored the whole part.
"""

import contextlib
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import schema
from actionrec.errors import InputError
from actionrec.storage import layout, parts
from actionrec.storage.root import Root
from actionrec.storage.samples import all_made, made_with
from actionrec.storage.store import Store, read_if_there
from actionrec.storage.streams import STREAMS


def failed(root: Root, streams: Collection[str]) -> None:
    """Let what failed of these streams be computed again, and nothing else."""
    for stream in streams:
        table = parts.statuses(root.store, stream, made_with(root, stream))
        _reopen(root, stream, set(table.filter(pc.equal(table["status"], "failed"))["part"].to_pylist()))


def incomplete(root: Root, streams: Collection[str]) -> None:
    """Let what is missing be computed again where a part has its mark, and not the features that it vouches for."""
    for stream in streams:
        _reopen(root, stream, parts.marked(root.store, stream).keys() - parts.stored(root.store, stream))


def changed(root: Root, video_ids: Collection[str]) -> None:
    """Let all streams of these videos be computed again, for their files are others now.

    What was made of them and would not be noticed as out of date goes at once: video embeddings, held-out classes.
    """
    made = all_made(root)
    if not made:
        return
    wanted = set(video_ids)
    numbers = {part for part, ids in parts.planned(root.store).items() if not wanted.isdisjoint(ids)}
    for stream in made:
        _reopen(root, stream, numbers, wanted)
    for output in outputs(root.store):
        root.store.delete(f"{output}{layout.EMBEDDINGS}")
    for kind in ("md", "parquet"):
        root.store.delete(layout.table("anomaly_holdout", kind))


def _reopen(root: Root, stream: str, numbers: Collection[int], without: Collection[str] = ()) -> None:
    """Take back the marks of these parts, once what stays good is stored: all but failed rows and videos of `without`.

    A part that has lost its mark already may lose more. What is made from the stream follows, first.
    """
    if not numbers:
        return
    for row in STREAMS.values():
        if stream in row.needs(root.config):
            _reopen_following(root, row.name, numbers, without)
    for part in sorted(numbers):
        if root.store.exists(layout.commit_mark(stream, part)):
            # A kill or a race has left it: what stands under a mark is the part's own file.
            root.store.delete(layout.taken(stream, part))
        if (found := _former(root, stream, part, without)) is not None:
            _, kept = found
            root.store.put(layout.reopened(stream, part), schema.to_parquet(kept, made_with(root, stream)))
        root.store.delete(layout.commit_mark(stream, part))


def _former(root: Root, stream: str, part: int, without: Collection[str]) -> tuple[pa.Table, pa.Table] | None:
    """The rows of the part's mark, or of what was stored aside, and those of them that stay good; None: it has none."""
    store, key = root.store, layout.commit_mark(stream, part)
    data = read_if_there(store, key) or read_if_there(store, layout.reopened(stream, part))
    if data is None:
        return None
    table = schema.from_parquet(data, schema.STATUS, f"{store.url}/{key}")
    is_good = pc.and_(
        pc.not_equal(table["status"], "failed"),
        pc.invert(pc.is_in(table["video_id"], pa.array(sorted(without), pa.string()))),
    )
    return table, table.filter(is_good) if schema.fingerprint_of(data) == made_with(root, stream) else table[:0]


def _reopen_following(root: Root, stream: str, numbers: Collection[int], without: Collection[str]) -> None:
    """What is made from stored streams is made anew; of what is made from a decoded video the good rows stay, and where
    all are good the part: its network would be loaded, and its files written again, for nothing."""
    if not STREAMS[stream].decoded:
        for output in outputs(root.store):
            for part in sorted(numbers):
                root.store.delete(f"{output}{layout.commit_mark(stream, part)}")
    elif root.begun(stream):
        _reopen(root, stream, [part for part in numbers if _loses(root, stream, part, without)], without)


def _loses(root: Root, stream: str, part: int, without: Collection[str]) -> bool:
    found = _former(root, stream, part, without)
    return found is not None and len(found[1]) < len(found[0])


def outputs(store: Store) -> list[str]:
    """The prefixes under which something is learnt: the root itself, and a folder for each class that is held out."""
    held_out = {key.removeprefix(layout.HOLDOUT).partition("/")[0] for key in store.sizes(layout.HOLDOUT)}
    return ["", *(f"{layout.HOLDOUT}{folder}/" for folder in sorted(held_out))]


def reopened(store: Store, stream: str, fingerprint: str) -> dict[int, pa.Table]:
    """Reopened part -> the rows of its former mark that are still good [rows, schema.STATUS]."""
    keys = {layout.part_of_reopened(stream, key): key for key in store.sizes(layout.REOPENED)}
    found = {part: read_if_there(store, key) for part, key in keys.items() if part is not None}
    return {
        part: schema.from_parquet(data, schema.STATUS, f"{store.url}/{keys[part]}")
        for part, data in found.items()
        if data is not None and schema.fingerprint_of(data) == fingerprint
    }


def kept(store: Store, stream: str, fingerprint: str) -> dict[int, set[str]]:
    """Reopened part -> the videos of which the stream need not be computed: those with features need their file, too.

    Whether a file that is there holds them is found when the part is computed; see Kept.
    """
    aside = {layout.part_of_taken(stream, key) for key in store.sizes(layout.TAKEN)}
    there, found = parts.stored(store, stream) | aside, reopened(store, stream, fingerprint)
    silent = {part: table.filter(pc.equal(table["status"], "no_audio")) for part, table in found.items()}
    left = {part: table if part in there else silent[part] for part, table in found.items()}
    return {part: set(table["video_id"].to_pylist()) for part, table in left.items()}


class Kept:
    """What whoever computes a part for a stream need not compute: rows that its former mark calls good.

    Only what still lies in a feature file of the same fingerprint is kept.
    """

    def __init__(
        self, store: Store, stream: str, part: int, fingerprint: str, table_schema: pa.Schema | None = None
    ) -> None:
        """`table_schema`: of the stream's features; None: of whatever width they are."""
        self._store, self._key, self._taken = store, layout.reopened(stream, part), layout.taken(stream, part)
        self._rows: dict[str, dict[str, Any]] = {}  # video_id -> its row of STATUS
        self._table = (table_schema or _NO_WIDTH).empty_table()
        data = read_if_there(store, self._key)
        self._is_reopened = data is not None and schema.fingerprint_of(data) == fingerprint
        if data is None or not self._is_reopened:
            return
        self._table = _read_features(store, stream, part, fingerprint, table_schema)
        there = set(self._table["video_id"].to_pylist())
        for row in schema.from_parquet(data, schema.STATUS, f"{store.url}/{self._key}").to_pylist():
            if row["status"] == "no_audio" or row["video_id"] in there:
                self._rows[row["video_id"]] = row

    def of(self, video_id: str) -> dict[str, Any] | None:
        """The status row of what is kept of a video; None: nothing is."""
        return self._rows.get(video_id)

    def row(self, video_id: str, columns: pa.Schema) -> dict[str, Any]:
        """What is kept of a video's features, in Python's own types."""
        is_this = pc.equal(self._table["video_id"], video_id)
        found: dict[str, Any] = self._table.select(columns.names).filter(is_this).to_pylist()[0]
        return found

    def forget(self) -> None:
        """The part has its mark, which now vouches for what was kept."""
        if self._is_reopened:
            self._store.delete(self._taken)
            self._store.delete(self._key)

    def merged(self, table: pa.Table, video_ids: Sequence[str]) -> pa.Table:
        """The newly made rows and those kept, in the order of `video_ids`; `table` itself where none is kept."""
        computed = set(table["video_id"].to_pylist())
        wanted = {i for i, row in self._rows.items() if i not in computed and row["status"] == "ok"}
        if not wanted:
            return table
        is_wanted = pc.is_in(self._table["video_id"], pa.array(sorted(wanted), pa.string()))
        return in_order(pa.concat_tables([table, self._table.filter(is_wanted)]), video_ids)


def in_order(table: pa.Table, video_ids: Sequence[str]) -> pa.Table:
    """The rows of those of the videos that are in it, in their order."""
    places = {video_id: place for place, video_id in enumerate(table["video_id"].to_pylist())}
    return table.take([places[video_id] for video_id in video_ids if video_id in places]).combine_chunks()


_NO_WIDTH = pa.schema([schema.PLAN.field("video_id")])


def _read_features(store: Store, stream: str, part: int, fingerprint: str, table_schema: pa.Schema | None) -> pa.Table:
    """What is kept of a reopened part lies in one file; no rows where it is gone, damaged, or another extraction's."""
    key = layout.taken(stream, part)
    data = read_if_there(store, key)
    if data is None:
        key = layout.feature(stream, part)
        data = read_if_there(store, key)
    with contextlib.suppress(InputError):  # what cannot be read is computed again
        if data is not None and schema.fingerprint_of(data) == fingerprint:
            schema.refuse_bomb(data, key)
            columns = table_schema or STREAMS[stream].schema_of(data, key)
            return schema.from_parquet(data, columns, key).cast(columns)
    return (table_schema or _NO_WIDTH).empty_table()
