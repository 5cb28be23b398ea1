"""A part's worker among poisoned videos: each costs itself and nothing else. No Ray here, so kills are exact."""

import errno
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from actionrec import schema
from actionrec.cluster.board import Board
from actionrec.cluster.watcher import CRASHES, Watcher
from actionrec.config import Config
from actionrec.errors import ActionrecError, VideoError
from actionrec.extraction.extract import begin_streams
from actionrec.extraction.part import ExtractionJob, PartWorker, VideoFile
from actionrec.media.isolate import Decoder
from actionrec.storage import layout
from actionrec.storage.local_store import LocalStore
from actionrec.storage.root import open_root
from actionrec.storage.streams import STREAMS as ROWS
from tests.faults.poison_child import poisoned
from tests.tiny_roots import STREAMS, TINY, clip, link_weights, weights

POISON_COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("poison_child.py")))
LIMITS = {"decode_timeout_s": 3.0, "decode_memory_gib": 0.25}


class Part:
    """One part of videos under a root of its own, worked in this process."""

    def __init__(self, folder: Path, files: Mapping[str, bytes], **limits: float) -> None:
        self.store = LocalStore(str(folder / "root"))
        link_weights(folder / "root")
        self.source = folder / "videos"
        self.source.mkdir()
        for name, data in files.items():
            (self.source / name).write_bytes(data)
        self.videos = [self.video(name) for name in files]
        self.root = open_root(self.store.url, [TINY, {"limits": limits}])
        self.config: Config = self.root.config
        self.made = begin_streams(self.root, STREAMS, weights()[1])
        self.worker = self.worker_of(*STREAMS)

    def worker_of(self, *streams: str) -> PartWorker:
        """Of these streams only."""
        job = ExtractionJob(self.config, self.store.url, str(self.source), weights()[1], self.made, streams)
        return PartWorker(job, "cpu")

    def video(self, name: str) -> VideoFile:
        """As catalogued now."""
        return VideoFile(name, name, (self.source / name).stat().st_size)

    def source_files(self) -> list[str]:
        return [video.video_id for video in self.videos]

    def decode_with(self, command: tuple[str, ...]) -> None:
        self.worker._decoders.get().close()
        self.worker._decoders.put(Decoder(self.config.clip, self.config.limits, command))

    def run(self, watcher: Watcher | None = None) -> dict[str, dict[str, str]]:
        """video_id -> stream -> status or reason."""
        self.worker.run(0, [vars(video) for video in self.videos], watcher or Watcher())
        assert all(len(self.mark(stream)) == len(self.videos) for stream in STREAMS)
        return self.outcomes()

    def outcomes(self) -> dict[str, dict[str, str]]:
        """Of the streams that are committed."""
        found: dict[str, dict[str, str]] = {}
        for row in (row for stream in STREAMS if self.is_committed(stream) for row in self.mark(stream)):
            found.setdefault(row["video_id"], {})[row["stream"]] = row["reason"] or row["status"]
        return found

    def is_committed(self, stream: str) -> bool:
        return self.store.exists(layout.commit_mark(stream, 0))

    def mark(self, stream: str) -> list[dict[str, Any]]:
        return self.read(layout.commit_mark(stream, 0), schema.STATUS).to_pylist()

    def stored(self, stream: str) -> dict[str, dict[str, Any]]:
        """video_id -> its row."""
        key = layout.feature(stream, 0)
        width = 0 if stream == "flow" else schema.embedding_width(self.store.read(key), key)
        return {row["video_id"]: row for row in self.read(key, ROWS[stream].schema(width)).to_pylist()}

    def read(self, key: str, table_schema: pa.Schema) -> pa.Table:
        return schema.from_parquet(self.store.read(key), table_schema, key)

    def embeddings(self) -> dict[str, list[list[float]]]:
        return {video_id: row["embedding"] for video_id, row in self.stored("spatial").items()}


GOOD = {"first.avi": clip(0), "second.mp4": clip(1), "third.mp4": clip(3)}
OK = dict.fromkeys(STREAMS, "ok")


@pytest.fixture
def parts() -> Iterator[list[Part]]:
    made: list[Part] = []
    yield made
    for part in made:
        part.worker.close()


@pytest.mark.parametrize(
    ("trouble", "reason", "detail"),
    [
        ("segfault", "decoder_crash", "signal 11"),
        ("abort", "decoder_crash", "signal 6"),
        ("exit", "decoder_crash", "exit code 3"),
        ("stderr", "decoder_crash", "last words"),
        ("loop", "timeout", "limits.decode_timeout_s"),
        ("memory", "memory", "limits.decode_memory_gib"),
    ],
)
def test_a_video_that_ruins_its_decoder_costs_itself_alone(
    trouble: str, reason: str, detail: str, tmp_path: Path, parts: list[Part]
) -> None:
    files = {"first.avi": GOOD["first.avi"], "bad.mp4": poisoned(clip(1), trouble), "third.mp4": GOOD["third.mp4"]}
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    parts += [Part(tmp_path / "bad", files, **LIMITS), Part(tmp_path / "good", GOOD)]
    bad, good = parts
    bad.decode_with(POISON_COMMAND)
    assert bad.run() == {"first.avi": OK, "bad.mp4": dict.fromkeys(STREAMS, reason), "third.mp4": OK}
    details = [row["detail"] for stream in STREAMS for row in bad.mark(stream)]
    assert all(detail in text for text in details if text is not None) and any(details)
    good.run()
    expected = {name: rows for name, rows in good.embeddings().items() if name in ("first.avi", "third.mp4")}
    assert bad.embeddings() == expected


def test_a_part_of_nothing_but_poison_is_committed_too(tmp_path: Path, parts: list[Part]) -> None:
    troubles = ("segfault", "abort", "exit", "segfault")
    part = Part(tmp_path, {f"{k}.mp4": poisoned(clip(1), trouble) for k, trouble in enumerate(troubles)}, **LIMITS)
    parts.append(part)
    part.decode_with(POISON_COMMAND)
    assert part.run() == dict.fromkeys(("0.mp4", "1.mp4", "2.mp4", "3.mp4"), dict.fromkeys(STREAMS, "decoder_crash"))
    assert part.embeddings() == {}


def test_a_decoder_that_cannot_start_is_no_videos_fault(tmp_path: Path, parts: list[Part]) -> None:
    part = Part(tmp_path, GOOD)
    parts.append(part)
    part.decode_with((sys.executable, "-c", "import sys; sys.exit('no such library')"))
    with pytest.raises(ActionrecError, match="no such library"):
        part.run()
    assert not part.outcomes()


class Recorder(Watcher):
    """Says of one video that it has ended its worker before, and keeps what it is told."""

    def __init__(self, crashes: Mapping[str, int]) -> None:
        self.crashes, self.told = crashes, list[tuple[str, bool]]()

    def starting(self, part: int, video_id: str) -> int:
        return self.crashes.get(video_id, 0)

    def finished(self, part: int, video_id: str, failed: bool) -> None:
        self.told.append((video_id, failed))


def test_a_video_that_ended_its_worker_three_times_is_not_computed_again(tmp_path: Path, parts: list[Part]) -> None:
    part = Part(tmp_path, GOOD)
    parts.append(part)
    watcher = Recorder({"first.avi": CRASHES - 1, "second.mp4": CRASHES})
    crashed = dict.fromkeys(STREAMS, "worker_crash")
    assert part.run(watcher) == {"first.avi": OK, "second.mp4": crashed, "third.mp4": OK}
    assert watcher.told == [("first.avi", False), ("second.mp4", True), ("third.mp4", False)]
    assert part.embeddings().keys() == {"first.avi", "third.mp4"}


def test_a_part_that_is_run_again_writes_the_same_values(tmp_path: Path, parts: list[Part]) -> None:
    part = Part(tmp_path, GOOD)
    parts.append(part)
    keys = [layout.feature(stream, 0) for stream in STREAMS]
    part.run()
    once = [part.store.read(key) for key in keys]
    for stream in STREAMS:
        part.store.delete(layout.commit_mark(stream, 0))
    part.run()
    assert [part.store.read(key) for key in keys] == once


def test_a_stream_is_not_committed_where_its_file_cannot_be_stored(tmp_path: Path, parts: list[Part]) -> None:
    part = Part(tmp_path, GOOD)
    parts.append(part)
    (tmp_path / "root/features/audio").mkdir(parents=True)
    (tmp_path / "root/features/audio/part-000000.parquet").mkdir()  # a folder stands where the file belongs
    with pytest.raises(ActionrecError, match="part-000000"):
        part.run()
    assert [stream for stream in STREAMS if part.is_committed(stream)] == ["flow", "spatial"]


@pytest.mark.parametrize(
    ("raised", "ends"),
    [
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), torch.AcceleratorError),
        (MemoryError("Unable to allocate 1.00 GiB"), MemoryError),
        (OSError(errno.EMFILE, "Too many open files"), OSError),
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (ImportError("libcudnn.so.9: cannot open shared object file"), ImportError),
        (torch.OutOfMemoryError("CUDA out of memory."), torch.OutOfMemoryError),
    ],
)
def test_what_is_the_machines_fault_is_raised_and_nothing_is_committed(
    raised: Exception, ends: type[Exception], tmp_path: Path, parts: list[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(tmp_path, GOOD)
    parts.append(part)
    monkeypatch.setitem(part.worker._streams._extractors, "spatial", raising(raised))
    with pytest.raises(ends) as caught:
        part.run()
    assert not isinstance(caught.value, VideoError)
    assert not part.outcomes()


def test_an_exception_over_one_video_is_that_videos(
    tmp_path: Path, parts: list[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(tmp_path, GOOD)
    parts.append(part)
    monkeypatch.setitem(part.worker._streams._extractors, "spatial", raising(RuntimeError("shapes do not match")))
    assert part.run() == dict.fromkeys(GOOD, OK | {"spatial": "compute"})


def raising(error: Exception) -> Callable[..., Any]:
    def network(*arguments: object) -> Any:
        raise error

    network.width = 96  # type: ignore[attr-defined]
    return network


def board() -> Board:
    """The board's plain class, in this process."""
    return Board.__ray_metadata__.modified_class()  # type: ignore[attr-defined]


def test_the_board_counts_what_was_begun_and_never_finished() -> None:
    counts = board()
    counts.begin(4)
    assert [counts.starting(4, "a"), counts.starting(4, "a"), counts.starting(4, "b")] == [0, 1, 0]
    counts.finished(4, "a", False)
    assert [counts.starting(4, "a"), counts.starting(4, "b"), counts.starting(5, "b")] == [0, 1, 0]


def test_the_board_counts_a_part_that_is_computed_again_once() -> None:
    counts = board()
    for part in (0, 1):
        counts.begin(part)
        counts.finished(part, "a", False)
        counts.finished(part, "b", True)
    assert counts.totals() == (4, 2)
    counts.begin(1)
    assert counts.totals() == (2, 1)
    counts.finished(1, "a", False)
    assert counts.totals() == (3, 1)
