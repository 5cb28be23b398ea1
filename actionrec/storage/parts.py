"""Parts: the fixed lists of videos that extraction commits as a whole, and what has been committed.

A part is planned once and keeps its number for ever. A later run that finds new videos plans new parts; it never
moves a video from one part to another. What was made of a part for a stream is trusted only when its commit mark, the
status file, exists. Below, `made` maps each stream that is asked about to the fingerprint of what counts.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actionrec import schema
from actionrec.errors import ActionrecError, InputError, Reason
from actionrec.storage import layout
from actionrec.storage.store import Store

READERS = 16  # status files read at once: they are small, so latency is all that counts
CLAIMS = 64  # generations that one call plans or finds planned by others: more drivers do not start at once
AT_ONCE = 1024  # status files held as tables of their own, before they become one


@dataclass(frozen=True)
class Reconciled:
    """The catalog held against the status table."""

    ok: int = 0  # videos with no failed stream
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)  # video_id -> (reason, detail)
    no_audio: int = 0
    no_decoder: int = 0  # of no_audio: with a sound track that no decoder knows
    missing: tuple[str, ...] = ()  # videos that no committed part of one of the streams accounts for
    repeated: tuple[str, ...] = ()  # videos that stand more than once in a stream's status
    leaks: tuple[str, ...] = ()  # warnings about files that are on both sides of a split

    @property
    def videos(self) -> int:
        return self.ok + len(self.failed) + len(self.missing)


def plan(
    store: Store, video_ids: Sequence[str], part_videos: int, fingerprint: str, made: Mapping[str, str]
) -> dict[int, list[str]]:
    """Part -> its videos, with new parts for the videos that had none. Two drivers at once agree on one plan.

    The plan, which all streams share, carries `fingerprint`; what was `made` tells whether one is gone.

    Raises InputError: a generation of the plan is gone, so nobody knows which videos the parts of it held;
    ActionrecError: the store does not keep what it is given.
    """
    keys = _generations(store)
    parts = _read_plans(store, keys)
    for _ in range(CLAIMS):
        known = {video_id for ids in parts.values() for video_id in ids}
        fresh = [video_id for video_id in video_ids if video_id not in known]
        if not fresh:
            return parts
        first = max(parts, default=-1) + 1
        _refuse_unplanned(store, first, keys, made)
        numbers = [first + i // part_videos for i in range(len(fresh))]
        table = pa.table({"part": pa.array(numbers, pa.int32()), "video_id": fresh}, schema=schema.PLAN)
        keys.append(layout.plan(len(keys)))
        store.put_new(keys[-1], schema.to_parquet(table, fingerprint))
        # Won or lost, what is stored now is the plan; it is read by its key, for a listing may be behind.
        for part, ids in _read_plans(store, keys[-1:]).items():
            parts.setdefault(part, []).extend(ids)
    raise ActionrecError(
        f"{store.url}/{keys[-1]}: planned {CLAIMS} times over, and still not all videos have a part: the store does "
        "not keep what it is given, or other runs write here; end those and run again"
    )


def _generations(store: Store) -> list[str]:
    """The keys of the plan, in order. InputError where one of them is gone."""
    found = {generation for key in store.sizes(layout.PLANS) if (generation := layout.generation(key)) is not None}
    ordered = sorted(found)
    gone = next((place for place, generation in enumerate(ordered) if generation != place), None)
    if gone is not None:
        raise InputError(
            f"{store.url}/{layout.plan(gone)}: this part of the plan is gone, and a later one is there; restore "
            "it, or use --replace catalog to plan and extract anew"
        )
    return [layout.plan(generation) for generation in ordered]


def _refuse_unplanned(store: Store, first: int, keys: Sequence[str], made: Mapping[str, str]) -> None:
    """InputError where parts from `first` on are committed, though the plan ends before: its last keys are gone."""
    listed = list(store.sizes(layout.STATUS))
    marks = ((stream, layout.part_of_mark(stream, key)) for stream in made for key in listed)
    beyond = [(stream, part) for stream, part in marks if part is not None and part >= first]
    mine = next((part for stream, part in beyond if _read_mark(store, stream, part, made[stream]) is not None), None)
    if mine is not None and _generations(store) == list(keys):  # else another driver has planned it meanwhile
        raise InputError(
            f"{store.url}/{layout.plan(len(keys))}: this part of the plan is gone, for part {mine} is committed and "
            "nothing plans it; restore it, or use --replace catalog to plan and extract anew"
        )


def planned(store: Store) -> dict[int, list[str]]:
    """Part -> its videos, as planned so far."""
    return _read_plans(store, _generations(store))


def _read_plans(store: Store, keys: Sequence[str]) -> dict[int, list[str]]:
    parts: dict[int, list[str]] = {}
    for key in keys:
        try:
            data = store.read(key)
        except FileNotFoundError:
            raise ActionrecError(f"{store.url}/{key}: it was there a moment ago and is gone; run again") from None
        for part, ids in by_part(schema.from_parquet(data, schema.PLAN, f"{store.url}/{key}")).items():
            parts.setdefault(part, []).extend(ids)
    return parts


def marked(store: Store, stream: str) -> dict[int, str]:
    """Part -> its mark's version: of parts with a mark of the stream."""
    listed = store.versions(layout.STATUS).items()
    return {part: version for key, version in listed if (part := layout.part_of_mark(stream, key)) is not None}


def stored(store: Store, stream: str) -> set[int]:
    """The parts with a file of the stream's features, committed or not."""
    found = (layout.part_of_feature(stream, key) for key in store.sizes(layout.features(stream)))
    return {part for part in found if part is not None}


def committed(store: Store, stream: str) -> dict[int, str]:
    """Part -> its mark's version: of parts with a mark of the stream and the features that it vouches for."""
    there = stored(store, stream)
    return {part: version for part, version in marked(store, stream).items() if part in there}


def statuses(store: Store, stream: str, fingerprint: str) -> pa.Table:
    """What has been committed of a stream [rows, schema.OUTCOME].

    A part that was committed under another fingerprint, by a worker that outlived a --replace, loses its mark instead.
    A process reads a mark once: many stages of a run ask, and with 10^6 videos there are 62,500 marks.
    """
    marks = committed(store, stream)
    place = (store.url, stream, fingerprint)
    before, versions = _read_before.get(place, (schema.OUTCOME.empty_table(), {}))
    fresh = sorted(part for part, version in marks.items() if versions.get(part) != version)
    if gone := [part for part in versions if marks.get(part) != versions[part]]:
        before = before.filter(pc.invert(pc.is_in(before["part"], pa.array(gone, pa.int32()))))
    tables, foreign = [before], []
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(fresh), AT_ONCE):
            numbers = fresh[start : start + AT_ONCE]
            found = list(pool.map(lambda part: _read_mark(store, stream, part, fingerprint), numbers))
            foreign += [part for part, table in zip(numbers, found, strict=True) if table is None]
            tables.append(
                pa.concat_tables([table for table in found if table is not None] or [before[:0]]).combine_chunks()
            )
    for part in foreign:
        store.delete(layout.commit_mark(stream, part))
        del marks[part]
    table = pa.concat_tables(tables)
    _read_before[place] = (table, marks)
    return table


def hashes(store: Store, made: Mapping[str, str], video_ids: Collection[str]) -> dict[str, str]:
    """The sha256 of what was read of those of `video_ids` that are committed for at least one of the streams."""
    found = dict[str, str]()
    for stream, fingerprint in made.items():
        wanted = pa.array(sorted(set(video_ids) - found.keys()), pa.string())
        table = statuses(store, stream, fingerprint)
        for part in sorted(set(table.filter(pc.is_in(table["video_id"], wanted))["part"].to_pylist())):
            key = layout.commit_mark(stream, part)
            mark = schema.from_parquet(store.read(key), schema.STATUS, f"{store.url}/{key}")
            mark = mark.filter(pc.and_(pc.is_in(mark["video_id"], wanted), pc.is_valid(mark["sha256"])))
            found |= dict(zip(mark["video_id"].to_pylist(), mark["sha256"].to_pylist(), strict=True))
    return found


_read_before: dict[tuple[str, str, str], tuple[pa.Table, dict[int, str]]] = {}


def _read_mark(store: Store, stream: str, part: int, fingerprint: str) -> pa.Table | None:
    """The status rows of a part; None where they were committed under another fingerprint."""
    key = layout.commit_mark(stream, part)
    try:
        data = store.read(key)
    except FileNotFoundError:
        raise ActionrecError(f"{store.url}/{key}: it was listed a moment ago and is gone; run again") from None
    table = schema.from_parquet(data, schema.STATUS, f"{store.url}/{key}")
    if schema.fingerprint_of(data) != fingerprint:
        return None
    numbered = table.drop_columns("sha256").add_column(0, "part", pa.array([part] * len(table), pa.int32()))
    return numbered.cast(schema.OUTCOME)


def by_part(table: pa.Table) -> dict[int, list[str]]:
    """Part -> the video_ids of a table with both columns, in its order."""
    found: dict[int, list[str]] = {}
    for part, video_id in zip(table["part"].to_pylist(), table["video_id"].to_pylist(), strict=True):
        found.setdefault(part, []).append(video_id)
    return found


def reconcile(store: Store, video_ids: Sequence[str], made: Mapping[str, str]) -> Reconciled:
    """Hold the catalog's ids against the status tables: every id once per stream, as ok, no_audio or failed."""
    table, streams = pa.concat_tables([statuses(store, *each) for each in made.items()]), tuple(made)
    ids = pa.array(video_ids, pa.string())
    table = table.filter(pc.is_in(table["video_id"], ids))
    video = pc.index_in(table["video_id"], ids).to_numpy()
    stream = pc.index_in(table["stream"], pa.array(streams)).to_numpy()
    counts = np.bincount(video * len(streams) + stream, minlength=len(ids) * len(streams)).reshape(-1, len(streams))
    missing, repeated = np.any(counts == 0, axis=1), np.any(counts > 1, axis=1)
    failed: dict[str, tuple[str, str]] = {}
    bad = table.filter(pc.and_(pc.equal(table["status"], "failed"), pa.array(~missing[video])))
    for row in bad.select(["video_id", "reason", "detail"]).to_batches():
        for video_id, reason, detail in zip(*(column.to_pylist() for column in row.columns), strict=True):
            failed.setdefault(video_id, (reason, detail))
    silent = table.filter(pc.equal(table["status"], "no_audio"))
    return Reconciled(
        ok=int((~missing).sum()) - len(failed),
        failed=failed,
        no_audio=len(silent),
        no_decoder=pc.sum(pc.equal(silent["reason"], Reason.NO_DECODER.value)).as_py() or 0,
        missing=_chosen(ids, missing),
        repeated=tuple(sorted(_chosen(ids, repeated))),
    )


def _chosen(ids: pa.Array, mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(ids.filter(pa.array(mask)).to_pylist())
