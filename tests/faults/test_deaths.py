"""Deaths of a part's worker, life after life: the real board, actor and part, without networks, processes or Ray."""

import errno
import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import ray
import torch

from actionrec.cluster.actor import _Actor
from actionrec.cluster.board import Board, BoardWatcher
from actionrec.cluster.watcher import CRASHES, turned
from actionrec.config import Config
from actionrec.errors import ActionrecError, VideoError
from actionrec.extraction.making import Making
from actionrec.extraction.part import Loaded, PartWorker, VideoFile
from actionrec.extraction.streams import Computed
from actionrec.storage import layout
from tests.tiny_roots import STREAMS

PLACE = "node 192.0.2.1"


class Died(BaseException):
    """Stands for the end of the process."""


def die() -> None:
    """As one that is killed: without a word."""
    raise Died


def run_short() -> None:
    raise MemoryError("Unable to allocate 1.00 GiB")


class Near:
    """A board that is called as Ray's handle to one is."""

    def __init__(self) -> None:
        self._board = Board.__ray_metadata__.modified_class()  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self._board, name))


class NearWatcher(BoardWatcher):
    def __init__(self, board: Any, worker: str = "worker") -> None:
        self._board, self._worker, self.place = board, worker, PLACE
        self._part, self._video_id = -1, ""

    def measured(self, seconds: Mapping[str, float], reasons: Mapping[str, str]) -> None:
        """Ray counts in its own workers alone."""


class Shelf:
    """A store of which nothing is there but what is put."""

    url = "memory"

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def read(self, key: str) -> bytes:
        try:
            return self.data[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def put(self, key: str, data: bytes) -> None:
        self.data[key] = data


class Life(PartWorker):
    """A worker whose loading and computing are what the test says, by video; keeps what it stores."""

    def __init__(self, loading: Callable[[str], None], computing: Callable[[str], None]) -> None:
        self._threads, self._ahead = ThreadPoolExecutor(1), 2
        self._loading, self._computing = loading, computing
        self._streams = SimpleNamespace(  # type: ignore[assignment]
            table=lambda stream, rows: pa.table({"video_id": pa.array([video_id for video_id, _ in rows], pa.string())})
        )
        self._root = Shelf()  # type: ignore[assignment]
        made = dict.fromkeys(STREAMS, "fingerprint")
        self._job = SimpleNamespace(config=Config(), made=made, streams=STREAMS)  # type: ignore[assignment]

    @property
    def stored(self) -> dict[str, pa.Table]:
        return {key: parquet.read_table(io.BytesIO(data)) for key, data in self._root.data.items()}  # type: ignore[attr-defined]

    def _load(self, video: VideoFile, pictures: bool) -> Loaded:
        self._loading(video.video_id)
        return Loaded(video)

    def _compute(self, making: Making, loaded: Loaded, given_up: VideoError | None) -> dict[str, Computed]:
        if given_up is None:
            self._computing(loaded.video.video_id)
        return dict.fromkeys(STREAMS, Computed(None if given_up else {}, given_up, 0.0))


class Course:
    """One part of videos v0, v1, ... computed by one worker until it is committed or ends the run."""

    def __init__(self, videos: int, loading: Callable[[str], None], computing: Callable[[str], None]) -> None:
        self.ids = [f"v{number}" for number in range(videos)]
        self.deaths, self.receipt, board = 0, dict[str, Any](), Near()
        while not self.receipt and self.deaths < 4 * CRASHES * videos:
            self.life = Life(loading, computing)
            try:
                self.receipt = actor(board, self.life)(
                    {"part": 0, "items": [vars(VideoFile(i, i, 1)) for i in self.ids]}
                )
            except Died:
                self.deaths += 1
            finally:
                self.life._threads.shutdown()

    @property
    def given_up(self) -> set[str]:
        assert self.receipt["error"] == ""
        stored = self.life.stored
        assert list(stored) == [key(stream, 0) for stream in STREAMS for key in (layout.feature, layout.commit_mark)]
        tables = [stored[layout.feature(stream, 0)] for stream in STREAMS]
        marks = [stored[layout.commit_mark(stream, 0)].to_pylist() for stream in STREAMS]
        assert all([row["video_id"] for row in mark] == self.ids for mark in marks)
        rows = [row for mark in marks for row in mark]
        assert {row["reason"] for row in rows if row["status"] == "failed"} <= {"worker_crash"}
        found = {row["video_id"]: row for row in rows if row["status"] == "failed"}
        assert all(f"ended its worker {CRASHES} times" in row["detail"] for row in found.values())
        whole = [video_id for video_id in self.ids if video_id not in found]
        assert all(table["video_id"].to_pylist() == whole for table in tables)
        return set(found)


def actor(board: Near, worker: Any) -> _Actor:
    made = object.__new__(_Actor)
    made._watcher, made._worker, made._error = NearWatcher(board), worker, None
    return made


def at(videos: Sequence[str], happens: Callable[[], None]) -> Callable[[str], None]:
    return lambda video_id: happens() if video_id in videos else None


def nowhere(video_id: str) -> None:
    pass


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda found, timeout=None: found)
    monkeypatch.setattr(os, "_exit", lambda code: die())


@pytest.mark.parametrize("happens", [die, run_short])
@pytest.mark.parametrize(
    "bad", [("v3",), ("v3", "v9"), ("v3", "v9", "v20"), ("v3", "v4", "v5", "v6"), ("v0", "v1", "v2"), ("v31", "v0")]
)
def test_each_bad_video_of_a_part_costs_its_three_deaths(bad: tuple[str, ...], happens: Callable[[], None]) -> None:
    course = Course(32, nowhere, at(bad, happens))
    assert course.given_up == set(bad)
    assert course.deaths == CRASHES * len(bad)


def test_a_part_of_which_every_video_ends_its_worker_is_committed() -> None:
    course = Course(4, nowhere, lambda video_id: die())
    assert course.given_up == set(course.ids)
    assert course.deaths == CRASHES * 4


@pytest.mark.parametrize("bad", [("v3",), ("v0", "v1")])
def test_a_video_at_which_the_loading_runs_short_is_given_up(bad: tuple[str, ...]) -> None:
    course = Course(8, at(bad, run_short), nowhere)
    assert course.given_up == set(bad)
    assert course.deaths == CRASHES * len(bad)


def test_a_file_that_cannot_be_read_for_want_of_handles_ends_the_process_and_not_the_run() -> None:
    def fail() -> None:
        raise ActionrecError("v3: cannot be read (Too many open files)") from OSError(errno.EMFILE, "Too many")

    course = Course(8, at(("v3",), fail), nowhere)
    assert (course.given_up, course.deaths) == ({"v3"}, CRASHES)


def test_a_worker_that_dies_at_whatever_it_is_given_charges_no_video() -> None:
    course = Course(8, nowhere, lambda video_id: run_short())
    assert course.receipt["error"].startswith(f"{PLACE}: {CRASHES} videos in a row ended their worker, last: Memory")
    assert not course.life.stored


def test_workers_of_one_node_that_run_short_at_once_start_again() -> None:
    board = Near()
    for number in range(5):
        watcher = NearWatcher(board, f"worker {number}")
        watcher.begin(number, 4)
        watcher.starting(number, "v0")
        watcher.ending("MemoryError: ")


def test_a_part_begins_elsewhere_each_time() -> None:
    assert [turned("abcdef", times)[0] for times in range(4)] == ["a", "c", "e", "a"]
    assert all(sorted(turned(range(n), times)) == list(range(n)) for n in range(5) for times in range(4))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), f"{PLACE}: the GPU's memory is full: lower "),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            f"{PLACE}: OSError: [Errno 28] No space left on device; this is",
        ),
        (SystemExit(0), f"a worker failed on {PLACE}: SystemExit: 0; its log has more: "),
        (ValueError("two\nlines"), f"a worker failed on {PLACE}: ValueError: two lines; its log has more: "),
    ],
)
def test_what_ends_the_run_names_the_place(error: BaseException, said: str) -> None:
    def fail() -> None:
        raise error

    course = Course(4, nowhere, at(("v2",), fail))
    assert course.receipt["error"].startswith(said)
    assert (course.deaths, course.life.stored) == (0, {})
