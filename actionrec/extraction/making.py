"""What a part has, what it lacks and what it gains, stream by stream. Knows nothing of Ray, and decodes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.config import Config
from actionrec.errors import ActionrecError, Reason, VideoError
from actionrec.extraction.streams import Computed, Streams
from actionrec.storage import layout
from actionrec.storage.reopening import Kept
from actionrec.storage.standing import Standing, standing
from actionrec.storage.store import Store
from actionrec.storage.streams import STREAMS, above


class Making:
    """A part of which some streams are made. What is committed stands; of what was reopened, only what is not kept is
    made. A stream is stored by one PUT, and committed by its mark before the next one is stored."""

    def __init__(
        self,
        store: Store,
        config: Config,
        made: Mapping[str, str],
        streams: Streams,
        wanted: Sequence[str],
        part: int,
        video_ids: Sequence[str],
    ) -> None:
        """`made`: the fingerprint of every stream that has begun under the root; `wanted`: those that may be made."""
        self._store, self._config, self._made, self._streams, self._part = store, config, made, streams, part
        self._place = {video_id: number for number, video_id in enumerate(video_ids)}
        found = {stream: standing(store, stream, part, fingerprint) for stream, fingerprint in made.items()}
        self._standing: dict[str, Standing] = {stream: each for stream, each in found.items() if each is not None}
        self._kept = {stream: self._kept_of(stream) for stream in wanted if stream not in self._standing}
        self._rows: dict[str, list[tuple[str, Mapping[str, Any]]]] = {stream: [] for stream in self._kept}
        self._status: dict[str, list[dict[str, Any]]] = {stream: [] for stream in self._kept}

    def lacking(self, video_id: str) -> list[str]:
        """The streams that are to be made of a video."""
        return [stream for stream, kept in self._kept.items() if kept.of(video_id) is None]

    def changed(self, video_id: str, sha256: str | None) -> VideoError | None:
        """Why nothing may be made of these bytes: another stream, which stays, was made from others. None: not read."""
        for stream, there in self._there().items():
            row = there.of(video_id)
            if row and row["status"] != "failed" and sha256 and row["sha256"] and row["sha256"] != sha256:
                detail = f"the file has changed since its stream {stream} was computed; catalog again, then extract"
                return VideoError(Reason.INTEGRITY, detail)
        return None

    def before(self, video_id: str) -> dict[str, Computed]:
        """Of the streams that the lacking ones are made from those that are not made of this video now."""
        lacking = self.lacking(video_id)
        uppers = {upper for stream in lacking for upper in above(stream, self._config)} - set(lacking)
        return {upper: self._result(upper, video_id) for upper in uppers}

    def add(self, video_id: str, computed: Mapping[str, Computed], facts: Mapping[str, Any]) -> None:
        """What was computed of a video; `facts`: the columns of schema.STATUS that tell of its decoding."""
        for stream, result in computed.items():
            why = result.error or result.lack
            told = {
                "video_id": video_id,
                "stream": stream,
                "status": result.status,
                "reason": why.reason.value if why else None,
                "detail": why.detail if why else None,
                "compute_s": result.compute_s,
            }
            self._status[stream].append(told | dict(facts))
            if result.row is not None:
                self._rows[stream].append((video_id, result.row))

    def commit(self) -> None:
        """Store each stream, then its mark. What a stream is made from comes before it."""
        for stream, kept in self._kept.items():
            rows = sorted(self._rows[stream], key=lambda row: self._place[row[0]])
            table = kept.merged(self._streams.table(stream, rows), list(self._place))
            self._put(stream, layout.feature(stream, self._part), table)
            status = [*self._status[stream], *(row for i in self._place if (row := kept.of(i)) is not None)]
            status.sort(key=lambda row: self._place[row["video_id"]])
            mark = pa.Table.from_pylist(status, schema=schema.STATUS)
            self._put(stream, layout.commit_mark(stream, self._part), mark)
            kept.forget()

    def _kept_of(self, stream: str) -> Kept:
        table_schema = self._streams.table(stream, []).schema
        return Kept(self._store, stream, self._part, self._made[stream], table_schema)

    def _there(self) -> dict[str, Standing | Kept]:
        return {**self._standing, **self._kept}

    def _result(self, stream: str, video_id: str) -> Computed:
        """What is stored of a video, as if it had been computed now."""
        there = self._there().get(stream)
        status = there.of(video_id) if there else None
        if there is None or status is None:
            key = layout.commit_mark(stream, self._part)
            raise ActionrecError(f"{self._store.url}/{key}: {video_id!r} was in it a moment ago; run again")
        if status["status"] == "failed":
            return Computed(None, VideoError(Reason(status["reason"]), status["detail"]), 0.0)
        row = there.row(video_id, STREAMS[stream].lent) if status["status"] == "ok" else None
        return Computed(row, None, 0.0)

    def _put(self, stream: str, key: str, table: pa.Table) -> None:
        self._store.put(key, schema.to_parquet(table, self._made[stream]))
