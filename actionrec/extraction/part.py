"""One part of the extraction: decode ahead, compute the streams that it lacks, commit them. Knows nothing of Ray."""

import hashlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from actionrec.cluster.watcher import Watcher, turned
from actionrec.config import Config, Limits
from actionrec.errors import DamagedError, Reason, VideoError
from actionrec.extraction.making import Making
from actionrec.extraction.streams import Computed, Streams
from actionrec.media.decode import Decoded, Segment
from actionrec.media.isolate import Decoder
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import look_at_pictures
from actionrec.storage.weights import WeightsRef

VIDEOS_HELD = 2  # by each decoder: the one it decodes and one that waits
GPU_DECODERS, CPU_DECODERS = 6, 1
READ_TRIES = 3


@dataclass(frozen=True)
class ExtractionJob:
    """What every worker of one extraction needs to know."""

    config: Config
    root_url: str
    source_url: str  # the store that holds the videos
    weights: Mapping[str, WeightsRef]  # by stream
    made: Mapping[str, str]  # the fingerprint of every stream that has begun under the root
    streams: tuple[str, ...]  # that some part lacks


@dataclass(frozen=True)
class VideoFile:
    video_id: str
    key: str  # relative to the job's source
    bytes: int | None  # as catalogued
    start_s: float | None = None  # None: the whole file
    end_s: float | None = None  # None: to the file's end

    @property
    def segment(self) -> Segment | None:
        return None if self.start_s is None else Segment(self.start_s, self.end_s)


@dataclass(frozen=True)
class Loaded:
    """A decoded video, or why it could not be decoded, with what that took."""

    video: VideoFile
    decoded: Decoded | None = None
    error: VideoError | None = None
    sha256: str | None = None
    read_s: float = 0.0
    decode_s: float = 0.0

    def facts(self) -> dict[str, Any]:
        """The columns of schema.STATUS that are the same for all streams of the video."""
        return {
            "frames_declared": self.decoded.frames_declared if self.decoded else None,
            "frames_decoded": len(self.decoded.pts_ticks) if self.decoded else None,
            "read_s": self.read_s,
            "decode_s": self.decode_s,
            "sha256": self.sha256,
        }


class PartWorker:
    """Computes parts, one after another, with networks and decoder processes that live as long as it does."""

    def __init__(self, job: ExtractionJob, device: str) -> None:
        self._job = job
        self._root = open_store(job.root_url, job.config.storage)
        self._source = open_store(job.source_url, job.config.storage)
        self._streams = Streams(job.config, job.weights, self._root, device, job.streams)
        count = job.config.extract.decoders or (GPU_DECODERS if device == "cuda" else CPU_DECODERS)
        self._decoders: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for _ in range(count):
            self._decoders.put(Decoder(job.config.clip, job.config.limits))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._ahead = count * VIDEOS_HELD
        self._last = LastFile()

    def run(self, part: int, items: Sequence[Mapping[str, Any]], watcher: Watcher) -> None:
        """Compute and commit what one part lacks, an item being a Video's fields. A bad video becomes a row.

        What is no video's fault raises: a store that does not answer, and whatever blame.blame lays upon the machine.
        """
        job, videos = self._job, [VideoFile(**item) for item in items]
        begun = watcher.begin(part, len(videos))
        ids = [video.video_id for video in videos]
        making = Making(self._root, job.config, job.made, self._streams, job.streams, part, ids)
        todo = [video for video in videos if making.lacking(video.video_id)]
        for video in videos:
            if video not in todo:
                watcher.finished(part, video.video_id, False)
        for video, loading in self._loaded_ahead(turned(todo, begun), making):
            given_up = watcher.given_up(part, video.video_id, watcher.starting(part, video.video_id))
            loaded = Loaded(video) if given_up else loading.result()
            computed = self._compute(making, loaded, given_up)
            making.add(video.video_id, computed, loaded.facts())
            watcher.measured(*_measured(loaded, computed))
            watcher.finished(part, video.video_id, any(result.error is not None for result in computed.values()))
            del loading, loaded, computed  # or one decoded video more would live while the next one is awaited
        making.commit()

    def close(self) -> None:
        """End the decoder processes."""
        self._threads.shutdown(cancel_futures=True)
        while not self._decoders.empty():
            self._decoders.get().close()

    def _compute(self, making: Making, loaded: Loaded, given_up: VideoError | None) -> dict[str, Computed]:
        video_id = loaded.video.video_id
        lacking = making.lacking(video_id)
        error = given_up or making.changed(video_id, loaded.sha256) or loaded.error
        if error is None and loaded.decoded is not None:
            return self._streams.compute(loaded.decoded, lacking, making.before(video_id))
        return {stream: Computed(None, error, 0.0) for stream in lacking}

    def _loaded_ahead(self, videos: Sequence[VideoFile], making: Making) -> Iterator[tuple[VideoFile, Future[Loaded]]]:
        """The videos in order, decoded in the background; at most `_ahead` at once, counting the yielded one."""

        def submit(video: VideoFile) -> Future[Loaded]:
            return self._threads.submit(self._load, video, look_at_pictures(making.lacking(video.video_id)))

        futures = deque(map(submit, videos[: self._ahead]))
        for place, video in enumerate(videos):
            yield video, futures.popleft()
            futures.extend(map(submit, videos[place + self._ahead :][:1]))

    def _load(self, video: VideoFile, pictures: bool) -> Loaded:
        start = read_end = time.perf_counter()
        sha256 = None
        try:
            data = self._read(video)
            sha256 = hashlib.sha256(data).hexdigest()
            read_end = time.perf_counter()
            decoded = self._decode(data, video.segment, pictures)
        except VideoError as error:
            now = time.perf_counter()
            return Loaded(video, None, error, sha256, read_end - start if sha256 else now - start, now - read_end)
        return Loaded(video, decoded, None, sha256, read_end - start, time.perf_counter() - read_end)

    def _read(self, video: VideoFile) -> bytes:
        def fetch() -> bytes:
            return read_video(self._source, video, self._job.config.limits)

        return fetch() if video.segment is None else self._last.read(video.key, fetch)

    def _decode(self, data: bytes, segment: Segment | None, pictures: bool) -> Decoded:
        decoder = self._decoders.get()
        try:
            return decoder.decode(data, segment, pictures=pictures)
        finally:
            self._decoders.put(decoder)


def _measured(loaded: Loaded, computed: Mapping[str, Computed]) -> tuple[dict[str, float], dict[str, str]]:
    """The seconds of each step of a video, and of the streams that failed the reasons."""
    seconds = {"read": loaded.read_s, "decode": loaded.decode_s}
    seconds |= {stream: result.compute_s for stream, result in computed.items()}
    return seconds, {stream: result.error.reason.value for stream, result in computed.items() if result.error}


class LastFile:
    """The file that segments were last cut from, so that it is not fetched again for each of them. One is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: str | None = None
        self._data = b""

    def read(self, key: str, fetch: Callable[[], bytes]) -> bytes:
        """What `fetch` last returned for this key. What it raises is not kept."""
        with self._lock:
            if self._key != key:
                self._key, self._data = None, b""  # or two would be held while one is fetched
                self._data = fetch()
                self._key = key
            return self._data


def read_video(source: Store, video: VideoFile, limits: Limits) -> bytes:
    """The video's bytes, as many as were catalogued. A short read is tried again before it counts against the file.

    A file that was replaced by one of equal size is read as it is now: its hash is stored, and `catalog` goes by that.
    """
    if video.bytes is None:
        raise VideoError(Reason.MISSING, "the file was not there when it was catalogued; restore it and catalog again")
    if video.bytes > limits.file_gib * 2**30:
        raise VideoError(Reason.TOO_LARGE, f"{video.bytes / 2**30:.3g} GiB, over limits.file_gib = {limits.file_gib:g}")
    for _ in range(READ_TRIES):
        try:
            data = source.read(video.key)
        except (FileNotFoundError, PermissionError) as error:
            detail = "the file is not there" if isinstance(error, FileNotFoundError) else "the file may not be read"
            raise VideoError(Reason.MISSING, f"{detail}; restore it, then run with --retry-failed") from None
        except DamagedError as error:
            raise VideoError(Reason.INTEGRITY, str(error)) from None
        if len(data) == video.bytes:
            return data
    detail = (
        f"{len(data)} bytes were read where the catalog says {video.bytes}; if the file has changed, catalog it again"
    )
    raise VideoError(Reason.INTEGRITY, detail)
