"""Workers are killed, at last with all else at random: nothing is lost, doubled, or computed again once committed."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Calm, assert_as_if_nothing_had_happened
from tests.faults.drivers import ACTOR, Driver, finish, marks
from tests.faults.poisoned_job import POISON
from tests.tiny_roots import assert_accounted, assert_equal_values, committed_files, new_root, outcomes

pytestmark = pytest.mark.timeout(900)

BOARD = b"ray::Board"


def test_killed_workers_cost_time_only(calm: Calm, root: Path) -> None:
    killed: set[int] = set()
    with Driver("--root", root) as driver:
        for committed in (2, 6):
            driver.wait_until(lambda least=committed: len(marks(root)) >= least and bool(driver.processes(ACTOR)))  # type: ignore[misc]
            victim = driver.processes(ACTOR)[0]
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        assert len(marks(root)) < len(calm.ids), "the kills came after the work"
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert len(killed) == 2
    assert_as_if_nothing_had_happened(root, calm)


def test_a_kill_between_two_streams_of_a_part_costs_the_rest_only(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Driver and worker die together once flow is committed; the frames then go by the flow that is stored."""
    monkeypatch.setenv("POISON", "between")
    root = new_root(tmp_path / "root", calm.source, "--set", "extract.part_videos=5", "--set", "extract.actors=1")
    with Driver("--root", root, script=Path(__file__).with_name("poisoned_job.py")) as driver:
        driver.wait_until(lambda: any(root.glob("features/status/flow-*")))
        driver.kill()
        assert not driver.orphans()
    kept = committed_files(root)
    assert {Path(name).name.partition("-")[0] for name in kept if "/status/" in name} == {"flow"}
    monkeypatch.delenv("POISON")
    finish(root)
    assert {name: stamp for name, stamp in committed_files(root).items() if name in kept} == kept
    assert_as_if_nothing_had_happened(root, calm)


def test_a_video_that_ends_its_worker_every_time_is_given_up(
    calm: Calm, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POISON", "always")
    with Driver("--root", root, script=Path(__file__).with_name("poisoned_job.py")) as driver:
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert outcomes(root)[POISON] == dict.fromkeys(("spatial", "flow", "audio"), "worker_crash")
    assert_accounted(root, calm.ids)
    assert_equal_values(root, calm.values, [i for i in calm.ids if i != POISON])
    finish(root, "--retry-failed")
    assert_as_if_nothing_had_happened(root, calm)


def test_a_lost_board_starts_again_and_still_bounds_deaths(
    calm: Calm, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one video ends its worker every time."""
    monkeypatch.setenv("POISON", "always")
    with Driver("--root", root, script=Path(__file__).with_name("poisoned_job.py")) as driver:
        driver.wait_until(lambda: len(marks(root)) >= 2 and bool(driver.processes(BOARD)))
        for board in driver.processes(BOARD):
            os.kill(board, signal.SIGKILL)
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert outcomes(root)[POISON] == dict.fromkeys(("spatial", "flow", "audio"), "worker_crash")
    assert_accounted(root, calm.ids)
    assert_equal_values(root, calm.values, [i for i in calm.ids if i != POISON])


def test_a_worker_that_dies_after_its_commit_before_its_answer_computes_nothing_again(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part of five is committed, its worker dies, and another one finds that nothing is lacking."""
    monkeypatch.setenv("POISON", "once")
    root = new_root(tmp_path / "root", calm.source, "--set", "extract.part_videos=5")
    with Driver("--root", root, script=Path(__file__).with_name("poisoned_job.py")) as driver:
        driver.wait_until(lambda: bool(marks(root)))
        first = committed_files(root)
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert {name: stamp for name, stamp in committed_files(root).items() if name in first} == first
    assert_as_if_nothing_had_happened(root, calm)


def test_whatever_is_killed_at_random_the_end_is_the_same(calm: Calm, root: Path) -> None:
    """Workers, decoders and drivers at moments of chance; ACTIONREC_SEED repeats a failure."""
    seed = int(os.environ.get("ACTIONREC_SEED", time.time_ns() % 10**6))
    print(f"ACTIONREC_SEED={seed}")
    chance, killed = random.Random(seed), 0
    for _ in range(2):
        with Driver("--root", root) as driver:
            least = len(marks(root)) + chance.randint(1, 6)
            driver.wait_until(lambda least=least: len(marks(root)) >= least or len(marks(root)) == len(calm.ids))  # type: ignore[misc]
            victims = driver.processes(ACTOR) + driver.processes(b"actionrec.media.child")
            for victim in chance.sample(victims, min(2, len(victims))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed += 1
            time.sleep(chance.uniform(0, 3))
            driver.kill()
            assert not driver.orphans()
    assert killed
    finish(root)
    # A decoder that was killed from outside looks like one that its video ended: such videos are tried again.
    finish(root, "--retry-failed")
    assert_as_if_nothing_had_happened(root, calm)
