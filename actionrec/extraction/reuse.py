"""`actionrec extract --reuse ROOT`: streams that another root has made of the same videos are taken over.

A stream is taken where settings and inputs are equal, whatever the fingerprints are called; a video where its id, the
bytes and the place in its file are equal, and its file hashes to what was read there. That costs a read of each file of
this root's source, unless one of its streams has recorded the hash already, and no decoding. All that is taken goes
through the driver, COPIERS parts at once, each held in memory: flow of 10^6 videos is terabytes, and hours of network.

Other drivers may commit parts of this root in those hours. What they have committed stands, and the key of a part's
features is only ever given all of it: what is taken of less lies aside, see storage/reopening.py.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.errors import InputError, VideoError
from actionrec.extraction.part import VideoFile, read_video
from actionrec.show.words import counted
from actionrec.storage import layout, parts
from actionrec.storage.another import Another, chosen
from actionrec.storage.reopening import Kept, in_order
from actionrec.storage.root import Root
from actionrec.storage.samples import all_made, made_with
from actionrec.storage.sources import source_folder
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import STREAMS, extracted

COPIERS = 4


class Fate(StrEnum):
    """What became of a video that lacked a stream: taken, or, as it is said after their number, why not."""

    TAKEN = "taken"
    UNKNOWN = "not in its parts"
    ANOTHER_FILE = "of other files there"
    UNREADABLE = "not to be read here"
    OTHER_BYTES = "of other bytes there"
    UNMADE = "not made there"
    DAMAGED = "in damaged files there"
    COMMITTED = "committed here meanwhile"


Fates = Counter[Fate]
Row = Mapping[str, Any]  # of schema.STATUS


@dataclass(frozen=True)
class Taken:
    """What was taken over, in words."""

    said: str
    warnings: list[str]  # files of the other root that are damaged


def another(root: Root, url: str) -> Another:
    """The root to take from, checked before anything is begun. InputError: as of Another, or it is `root` itself."""
    if not url:
        raise InputError("--reuse is empty; name the root to take from, or leave it out")
    streams = extracted(root.config)
    stages = dict.fromkeys(name for stream in streams for name in (*STREAMS[stream].needs(root.config), stream))
    found = Another(url, root.config.storage, stages)
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
    found: dict[str, Fates] = {stream: Counter() for stream in equal}
    if equal:
        places = {i: _place(other, videos[i]) for part in lacking for i in plan[part] if i in videos}
        copier = _Copier(root, other, equal, places, videos, parts.hashes(root.store, all_made(root), places))
        work = [
            (part, plan[part], [stream for stream in streams if stream in equal]) for part, streams in lacking.items()
        ]
        done, total = 0, sum(len(planned) for _, planned, _ in work)
        with ThreadPoolExecutor(COPIERS) as pool:
            for (_, planned, _), fates in zip(work, pool.map(lambda each: copier.take(*each), work), strict=True):
                for stream, counts in fates.items():
                    found[stream] += counts
                done += len(planned)
                on_videos(done, total)
    said = [
        f"{stream} differs ({', '.join(why)}) and is not taken"
        if why
        else _said(stream, found[stream], other.store.url)
        for stream, why in differences.items()
    ]
    return Taken("; ".join(said) or f"nothing is lacking, so nothing is taken from {other.store.url}", other.warnings)


def _said(stream: str, fates: Fates, url: str) -> str:
    if not fates:
        return f"nothing of {stream} taken from {url}, for what is lacking has been taken before"
    left = ", ".join(f"{count:,} {why}" for why, count in fates.items() if why is not Fate.TAKEN)
    taken, all_of_them = fates[Fate.TAKEN], fates.total()
    of = "" if taken == all_of_them else f"{taken:,} of " if taken else "none of "
    return f"{stream} of {of}{counted(all_of_them, 'video')} taken from {url}{f' ({left})' if left else ''}"


def _place(other: Another, video: VideoFile) -> int | Fate:
    """The other root's part with the video, if it is the same one as far as both catalogs know; else why it is not."""
    fact = other.videos.get(video.video_id)
    if video.bytes is None:
        return Fate.UNREADABLE
    if fact is None:
        return Fate.UNKNOWN
    *facts, part = fact
    return int(part) if facts == [video.bytes, video.start_s, video.end_s] else Fate.ANOTHER_FILE


@dataclass(frozen=True)
class _Piece:
    """What is taken of one file of the other root's."""

    rows: Mapping[str, Row]  # video_id -> its row there
    data: bytes  # the file as it is
    all_of_it: pa.Table
    table: pa.Table  # what is taken of it; the whole table itself where all is


@dataclass
class _Copier:
    """Takes over part by part, several at once."""

    root: Root
    other: Another
    made: Mapping[str, str]  # by stream: this root's fingerprint
    places: Mapping[str, int | Fate]  # video_id -> the other root's part, or why it is taken from none
    videos: Mapping[str, VideoFile]
    known: dict[str, str]  # video_id -> sha256
    by_key: dict[str, str | None] = field(default_factory=dict)  # several videos may be segments of one file

    def __post_init__(self) -> None:
        self._source: Store = open_store(source_folder(self.root.config.data), self.root.config.storage)

    def take(self, part: int, planned: Sequence[str], streams: Sequence[str]) -> dict[str, Fates]:
        """What became of the videos that lack a stream, by stream."""
        ids = [video_id for video_id in planned if video_id in self.videos]
        return {stream: self._take(stream, part, ids) for stream in streams}

    def _take(self, stream: str, part: int, ids: Sequence[str]) -> Fates:
        kept = Kept(self.root.store, stream, part, self.made[stream])
        wanted = [video_id for video_id in ids if kept.of(video_id) is None]
        if self._is_committed(stream, part):
            return Counter({Fate.COMMITTED: len(wanted)})
        fates = {i: place for i in wanted if isinstance(place := self.places[i], Fate)}
        pieces: list[_Piece] = []
        for their in sorted({place for i in wanted if not isinstance(place := self.places[i], Fate)}):
            piece, found = self._piece(stream, their, [i for i in wanted if self.places[i] == their])
            fates |= found
            pieces += [piece] if piece else []
        if pieces and not self._store(stream, part, ids, pieces):
            fates |= {i: Fate.COMMITTED for piece in pieces for i in piece.rows}
        return Counter(fates.values())

    def _piece(self, stream: str, their: int, ids: Sequence[str]) -> tuple[_Piece | None, dict[str, Fate]]:
        """What is taken of these videos of a part of the other root, and what becomes of each."""
        status = self.other.status(stream, their)
        fates = {i: self._judged(i, status.get(i)) for i in ids}
        rows = {i: status[i] for i, fate in fates.items() if fate is Fate.TAKEN}
        features = self.other.features(stream, their) if rows else None
        table = chosen(features[1], [i for i, row in rows.items() if row["status"] == "ok"]) if features else None
        if features is None or table is None:
            return None, fates | dict.fromkeys(rows, Fate.DAMAGED)
        return _Piece(rows, *features, table), fates

    def _judged(self, video_id: str, row: Row | None) -> Fate:
        """TAKEN where the row tells of the bytes that this root's video has."""
        if row is None or row["sha256"] is None:
            return Fate.UNMADE
        mine = self._sha256(self.videos[video_id])
        if mine is None:
            return Fate.UNREADABLE
        return Fate.TAKEN if mine == row["sha256"] else Fate.OTHER_BYTES

    def _store(self, stream: str, part: int, ids: Sequence[str], pieces: Sequence[_Piece]) -> bool:
        """With what is kept here already: the features, then their mark; where videos are lacking, both lie aside.

        False where somebody else has committed the part. Whoever does so from here on is not disturbed either: what
        lies aside is not looked at beside a mark, and all of a part may lie under any mark of it. Theirs stays, for it
        may say that a video has failed, and their features may have come last.
        """
        store, first, fingerprint = self.root.store, pieces[0], self.made[stream]
        kept = Kept(store, stream, part, fingerprint, first.table.schema)  # looked at again: hours may have passed
        if self._is_committed(stream, part):
            return False
        taken = {i: row for piece in pieces for i, row in piece.rows.items()}
        rows = [dict(row) for i in ids if (row := taken.get(i) or kept.of(i)) is not None]
        ok = [row["video_id"] for row in rows if row["status"] == "ok"]
        table = kept.merged(
            first.table if len(pieces) == 1 else in_order(pa.concat_tables(piece.table for piece in pieces), ok), ok
        )
        is_copy = table is first.all_of_it and self.other.fingerprint(stream) == fingerprint
        data = first.data if is_copy else schema.to_parquet(table, fingerprint)
        mark = schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.STATUS), fingerprint)
        if len(rows) == len(ids):
            store.put(layout.feature(stream, part), data)
            store.put_new(layout.commit_mark(stream, part), mark)
            kept.forget()
        else:
            store.put(layout.taken(stream, part), data)
            store.put(layout.reopened(stream, part), mark)
        return True

    def _is_committed(self, stream: str, part: int) -> bool:
        return self.root.store.exists(layout.commit_mark(stream, part))

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
