"""`actionrec extract --reuse ROOT`: streams that another root has made of the same videos are taken over.

A stream is taken where settings and inputs are equal, whatever the fingerprints are called; a video where its id, the
bytes and the place in its file are equal, and its file hashes to what was read there. That costs a read of each file of
this root's source, unless one of its streams has recorded the hash already, and no decoding. All that is taken goes
through the driver, COPIERS parts at once, each held in memory: flow of 10^6 videos is terabytes, and hours of network.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.errors import InputError, VideoError
from actionrec.extraction.part import VideoFile, read_video
from actionrec.storage import layout, parts
from actionrec.storage.another import Another, chosen
from actionrec.storage.root import Root
from actionrec.storage.samples import all_made, made_with
from actionrec.storage.sources import source_folder
from actionrec.storage.store import Store, open_store

COPIERS = 4


@dataclass(frozen=True)
class Taken:
    """What was taken over, in words."""

    said: str
    warnings: list[str]  # files of the other root that are damaged


def another(root: Root, url: str) -> Another:
    """The root to take from, checked before anything is begun. InputError: there is none, or it is `root` itself."""
    found = Another(url, root.config.storage)
    if found.is_same(root):
        raise InputError(f"--reuse {url}: this is the root itself, whose features are there already; name another one")
    return found


def take(
    root: Root,
    other: Another,
    lacking: Mapping[int, Sequence[str]],
    plan: Mapping[int, Sequence[str]],
    videos: Mapping[str, VideoFile],
    on_videos: Callable[[int, int], None] = lambda done, videos: None,
) -> Taken:
    """Commit what `other` has of the streams that parts lack, and set aside what it has of parts that it has not whole.

    `lacking`: part -> its streams, which have begun here; `plan`: part -> its videos; `videos`: those of the catalog.
    The other root is not written to. What it lacks, or holds damaged, stays lacking. `on_videos` is told how many
    videos of how many have been looked for there.
    """
    wanted = list(dict.fromkeys(stream for streams in lacking.values() for stream in streams))
    differences = {stream: other.differences(root, stream) for stream in wanted}
    equal = {stream: made_with(root, stream) for stream in wanted if not differences[stream]}
    counts: Counter[str] = Counter()
    if equal:
        part_of = _shared(other, [videos[i] for part in lacking for i in plan[part] if i in videos])
        copier = _Copier(root, other, equal, part_of, videos, parts.hashes(root.store, all_made(root), part_of))
        work = [
            (part, plan[part], [stream for stream in streams if stream in equal]) for part, streams in lacking.items()
        ]
        done, total = 0, sum(len(planned) for _, planned, _ in work)
        with ThreadPoolExecutor(COPIERS) as pool:
            for (_, planned, _), found in zip(work, pool.map(lambda each: copier.take(*each), work), strict=True):
                counts += found
                done += len(planned)
                on_videos(done, total)
    return Taken(_said(other, differences, counts), other.warnings)


def _shared(other: Another, videos: Sequence[VideoFile]) -> dict[str, int]:
    """video_id -> the other root's part, of the videos that are the same as far as both catalogs know."""
    facts = other.catalogued()
    mine = {video.video_id: (video.bytes, video.start_s, video.end_s) for video in videos if video.bytes is not None}
    return {i: facts[i][-1] for i, fact in mine.items() if i in facts and facts[i][:-1] == fact}


def _said(other: Another, differences: Mapping[str, Sequence[str]], counts: Mapping[str, int]) -> str:
    url = other.store.url
    told = [
        f"{stream} differs ({', '.join(found)}) and is not taken"
        if found
        else f"{stream} of {counts[stream]:,} videos taken from {url}"
        if counts[stream]
        else f"{stream} of none of these videos is in {url}"
        for stream, found in differences.items()
    ]
    return "; ".join(told) or f"nothing is lacking, so nothing is taken from {url}"


@dataclass
class _Copier:
    """Takes over part by part, several at once."""

    root: Root
    other: Another
    made: Mapping[str, str]  # by stream: this root's fingerprint
    part_of: Mapping[str, int]  # the other root's, of videos that may be taken
    videos: Mapping[str, VideoFile]
    known: dict[str, str]  # video_id -> sha256
    by_key: dict[str, str | None] = field(default_factory=dict)  # several videos may be segments of one file

    def __post_init__(self) -> None:
        self._source: Store = open_store(source_folder(self.root.config.data), self.root.config.storage)

    def take(self, part: int, planned: Sequence[str], streams: Sequence[str]) -> Counter[str]:
        """How many videos were taken of each stream."""
        ids = [video_id for video_id in planned if video_id in self.videos]
        return Counter({stream: self._take(stream, part, ids) for stream in streams})

    def _take(self, stream: str, part: int, ids: Sequence[str]) -> int:
        if self.root.store.exists(layout.reopened(stream, part)):
            return 0  # something of this root's own is kept there
        rows: dict[str, Mapping[str, Any]] = {}
        files: list[tuple[bytes, pa.Table, pa.Table]] = []  # as it is, all of it, and what is taken of it
        for their in sorted({self.part_of[i] for i in ids if i in self.part_of}):
            status = self.other.status(stream, their)
            same = {i: status[i] for i in ids if self.part_of.get(i) == their and self._is_read(i, status.get(i))}
            features = self.other.features(stream, their) if same else None
            held = chosen(features[1], [i for i, row in same.items() if row["status"] == "ok"]) if features else None
            if features and held is not None:
                rows |= same
                files.append((*features, held))
        if rows:
            self._commit(stream, part, [i for i in ids if i in rows], rows, files, is_whole=len(rows) == len(ids))
        return len(rows)

    def _commit(
        self,
        stream: str,
        part: int,
        ids: Sequence[str],
        rows: Mapping[str, Mapping[str, Any]],
        files: Sequence[tuple[bytes, pa.Table, pa.Table]],
        is_whole: bool,
    ) -> None:
        """The features, then their mark; where videos are lacking, the note of a reopened part in its stead."""
        fingerprint, (data, all_of_it, taken) = self.made[stream], files[0]
        if len(files) > 1 or taken is not all_of_it or self.other.fingerprint(stream) != fingerprint:
            table = pa.concat_tables(table for _, _, table in files)
            ordered = chosen(table, [i for i in ids if rows[i]["status"] == "ok"])
            data = schema.to_parquet(table if ordered is None else ordered, fingerprint)
        mark = pa.Table.from_pylist([dict(rows[i]) for i in ids], schema=schema.STATUS)
        key = layout.commit_mark(stream, part) if is_whole else layout.reopened(stream, part)
        self.root.store.put(layout.feature(stream, part), data)
        self.root.store.put(key, schema.to_parquet(mark, fingerprint))

    def _is_read(self, video_id: str, row: Mapping[str, Any] | None) -> bool:
        """Whether the row tells of the bytes that this root's video has."""
        return row is not None and row["sha256"] is not None and row["sha256"] == self._sha256(self.videos[video_id])

    def _sha256(self, video: VideoFile) -> str | None:
        if video.video_id in self.known:
            return self.known[video.video_id]
        if video.key not in self.by_key:
            try:
                data = read_video(self._source, video, self.root.config.limits)
                self.by_key[video.key] = hashlib.sha256(data).hexdigest()
            except VideoError:
                self.by_key[video.key] = None  # extract says why
        return self.by_key[video.key]
