"""Faults of the machine: no video is charged with them, and no worker is started for ever."""

import os
import re
import signal
from pathlib import Path

import pytest
import ray

from actionrec.cluster.board import IN_A_ROW, Board, BoardWatcher, why
from actionrec.cluster.board import LOADS as MOST
from actionrec.errors import ActionrecError
from actionrec.extraction import extract
from tests.faults import sick_workers
from tests.faults.conftest import Calm
from tests.faults.drivers import assert_a_rerun_writes_nothing, marks
from tests.faults.sick_workers import AT, LOADS, LOST
from tests.tiny_roots import STREAMS, actionrec, assert_accounted, assert_equal_values, new_root, outcomes, status

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("ray_session")]


@pytest.fixture
def root(calm: Calm, tmp_path: Path) -> Path:
    """Twenty clips in parts of five: what is lost with a device had neighbours before and after it."""
    return new_root(tmp_path / "root", calm.source, "--set", "extract.part_videos=5")


def test_a_device_that_is_lost_costs_time_only(calm: Calm, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "PartWorker", sick_workers.LosesItsDeviceOnce)
    assert actionrec("extract", "--root", root) == 0
    assert (root / "lost").exists()
    assert len((root / LOADS).read_bytes()) == 3, "two workers, and one in the place of the one that lost its device"
    assert_accounted(root, calm.ids)
    assert set(status(root)["status"]) == {"ok", "no_audio"}
    assert_equal_values(root, calm.values, calm.ids)
    assert_a_rerun_writes_nothing(root)


def test_a_video_that_loses_the_device_each_time_is_given_up(
    calm: Calm, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "PartWorker", sick_workers.LosesItsDevice)
    assert actionrec("extract", "--root", root) == 0
    found = outcomes(root)
    assert found.pop(AT) == dict.fromkeys(STREAMS, "worker_crash")
    assert {outcome for streams in found.values() for outcome in streams.values()} == {"ok", "no_audio"}
    details = set(status(root).set_index("video_id").loc[AT, "detail"])
    assert details == {f"computing this video ended its worker 3 times: AcceleratorError: {LOST}"}
    assert_accounted(root, calm.ids)
    assert_equal_values(root, calm.values, [video_id for video_id in calm.ids if video_id != AT])


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        (sick_workers.DiesLoading, "the last time: it ended without a word"),
        (sick_workers.CrashesLoading, "the last time: Fatal Python error: Segmentation fault"),
        (sick_workers.FindsNoDevice, f"the last time: AcceleratorError: {LOST}"),
    ],
)
def test_a_worker_that_dies_while_it_loads_is_not_started_for_ever(
    worker: type, words: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extract, "PartWorker", worker)
    assert actionrec("extract", "--root", root) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"error: a worker died {MOST} times while it loaded its networks, on node "), last
    assert words in last, last
    assert len((root / LOADS).read_bytes()) <= 2 * MOST  # there are two of them
    assert not marks(root)


def test_a_place_where_one_video_after_another_ends_its_worker_is_at_fault(ray_session: None) -> None:
    watcher = BoardWatcher(Board.remote())  # type: ignore[attr-defined]
    watcher.begin(0, 9)
    for video_id in ("a", "a", "b"):
        watcher.starting(0, video_id)
        watcher.ending(LOST)
    watcher.finished(0, "b", False)
    for video_id in "cdefg"[: IN_A_ROW - 1]:
        watcher.starting(0, video_id)
        watcher.ending(LOST)
    watcher.finished(0, "c", True)  # given up: that speaks for nobody
    watcher.starting(0, "h")
    with pytest.raises(ActionrecError, match=f"node .*: {IN_A_ROW} videos in a row ended their worker, last: {LOST}"):
        watcher.ending(LOST)


@ray.remote(num_cpus=0)
class Crashing:
    def __init__(self, at_once: bool) -> None:
        if at_once:
            os._exit(1)

    def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_trial_whose_process_dies_says_where(ray_session: None, at_once: bool) -> None:
    actor = Crashing.remote(at_once)  # type: ignore[attr-defined]
    with pytest.raises(ray.exceptions.RayActorError) as died:
        ray.get(actor.crash.remote())
    assert re.fullmatch(r"a process died on node [0-9.]+ \(pid \d+\), .*", why(died.value))
    assert why(ValueError("several\nlines")) == "lines"
