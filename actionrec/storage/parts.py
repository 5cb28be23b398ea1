"""Parts: the fixed lists of videos that extraction commits as a whole, and what has been committed.

A part is planned once and keeps its number for ever. A later run that finds new videos plans new parts; it never
moves a video from one part to another. A part is trusted only when its commit mark, the status file, exists.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from actionrec import schema
from actionrec.errors import ActionrecError
from actionrec.storage import layout
from actionrec.storage.store import Store

READERS = 16  # status files read at once: they are small, so latency is all that counts


@dataclass(frozen=True)
class Reconciled:
    """The catalog held against the status table."""

    ok: int = 0  # videos with no failed stream
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)  # video_id -> (reason, detail)
    no_audio: int = 0
    missing: tuple[str, ...] = ()  # videos that no committed part accounts for
    repeated: tuple[str, ...] = ()  # videos that stand more than once in a stream's status

    @property
    def videos(self) -> int:
        return self.ok + len(self.failed) + len(self.missing)


def plan(store: Store, video_ids: Sequence[str], part_videos: int, fingerprint: str) -> dict[int, list[str]]:
    """Part -> its videos, with new parts for the videos that had none. Two drivers at once agree on one plan."""
    while True:
        keys = sorted(store.sizes(layout.PLANS))  # listed once: the next generation must follow what was read
        parts = _read_plans(store, keys)
        known = {video_id for ids in parts.values() for video_id in ids}
        fresh = [video_id for video_id in video_ids if video_id not in known]
        if not fresh:
            return parts
        first = max(parts, default=-1) + 1
        numbers = [first + i // part_videos for i in range(len(fresh))]
        table = pa.table({"part": pa.array(numbers, pa.int32()), "video_id": fresh}, schema=schema.PLAN)
        store.put_new(layout.plan(len(keys)), schema.to_parquet(table, fingerprint))
        # Won or lost, what is stored now is the plan: read it again.


def _read_plans(store: Store, keys: Sequence[str]) -> dict[int, list[str]]:
    parts: dict[int, list[str]] = {}
    for key in keys:
        table = schema.from_parquet(store.read(key), schema.PLAN, f"{store.url}/{key}")
        for part, video_id in zip(table["part"].to_pylist(), table["video_id"].to_pylist(), strict=True):
            parts.setdefault(part, []).append(video_id)
    return parts


def committed(store: Store, stage: str = "extract") -> set[int]:
    """Parts with a commit mark of `stage` (extract or motion) and all the files that it vouches for."""
    marks = {layout.part_of_mark(key, stage) for key in store.sizes(layout.STATUS)}
    for stream in layout.STREAMS_OF[stage]:
        marks &= {layout.part_of_feature(stream, key) for key in store.sizes(layout.features(stream))}
    return {part for part in marks if part is not None}


def statuses(store: Store, parts: Sequence[int], fingerprint: str, stage: str = "extract") -> dict[int, pa.Table]:
    """Part -> the status rows that `stage` committed [rows, schema.STATUS].

    A part that was committed under another fingerprint, by a worker that outlived a --replace, loses its mark instead.
    """

    def read(part: int) -> pa.Table | None:
        key = layout.commit_mark(part, stage)
        try:
            data = store.read(key)
        except FileNotFoundError:
            raise ActionrecError(f"{store.url}/{key}: it was listed a moment ago and is gone; run again") from None
        table = schema.from_parquet(data, schema.STATUS, f"{store.url}/{key}")
        if schema.fingerprint_of(data) == fingerprint:
            return table
        store.delete(key)
        return None

    with ThreadPoolExecutor(READERS) as pool:
        tables = zip(parts, pool.map(read, parts), strict=True)
        return {part: table for part, table in tables if table is not None}


def reconcile(store: Store, video_ids: Sequence[str], fingerprint: str, stage: str = "extract") -> Reconciled:
    """Hold the catalog's ids against the status table: every id once per stream, as ok, no_audio or failed."""
    found = statuses(store, sorted(committed(store, stage)), fingerprint, stage)
    table = pa.concat_tables([schema.STATUS.empty_table(), *found.values()])
    wanted = set(video_ids)
    seen: dict[str, int] = {}
    failed: dict[str, tuple[str, str]] = {}
    no_audio = 0
    columns = (table[name].to_pylist() for name in ("video_id", "stream", "status", "reason", "detail"))
    bits = {stream: 1 << i for i, stream in enumerate(layout.STREAMS_OF[stage])}
    repeated: set[str] = set()
    for video_id, stream, status, reason, detail in zip(*columns, strict=True):
        if video_id not in wanted:
            continue
        before = seen.get(video_id, 0)
        if before & bits[stream]:
            repeated.add(video_id)
        seen[video_id] = before | bits[stream]
        if status == "failed":
            failed.setdefault(video_id, (reason, detail))
        no_audio += status == "no_audio"
    everything = sum(bits.values())
    missing = tuple(video_id for video_id in video_ids if seen.get(video_id) != everything)
    for video_id in missing:
        failed.pop(video_id, None)
    return Reconciled(len(wanted) - len(failed) - len(missing), failed, no_audio, missing, tuple(sorted(repeated)))
