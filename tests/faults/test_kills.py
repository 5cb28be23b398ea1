"""Workers and drivers are killed at random moments: nothing is lost, doubled, or computed again once committed."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from actionrec.cluster.lastword import SENTENCE
from tests.faults.conftest import Calm
from tests.faults.drivers import ACTOR, Driver, assert_a_rerun_writes_nothing, finish, marks
from tests.faults.poisoned_job import POISON
from tests.tiny_roots import (
    assert_accounted,
    assert_equal_values,
    committed_files,
    new_root,
    outcomes,
    status,
    videos_of_part,
)

pytestmark = pytest.mark.timeout(900)

BOARD = b"ray::Board"


def assert_as_if_nothing_had_happened(root: Path, calm: Calm) -> None:
    assert_accounted(root, calm.ids)
    assert set(status(root)["status"]) == {"ok", "no_audio"}
    assert_equal_values(root, calm.values, calm.ids)
    assert_a_rerun_writes_nothing(root)


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


def test_a_driver_killed_twice_loses_and_doubles_nothing(calm: Calm, root: Path) -> None:
    kept = committed_files(root)
    for more in (3, 4):
        with Driver("--root", root) as driver:
            least = len(marks(root)) + more
            driver.wait_until(lambda least=least: len(marks(root)) >= least)  # type: ignore[misc]
            driver.kill()
            assert not driver.orphans(), "workers outlive their driver"
            assert driver.output().strip().splitlines()[-1] == SENTENCE
        now = committed_files(root)
        assert len(kept) < len(now) < 6 * len(calm.ids), "the kill came after the work"
        assert {name: now[name] for name in kept} == kept, "a committed part was written again"
        kept = now
    finish(root)
    assert {name: stamp for name, stamp in committed_files(root).items() if name in kept} == kept
    assert_as_if_nothing_had_happened(root, calm)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_soon_and_keeps_what_is_committed(
    calm: Calm, root: Path, number: signal.Signals, code: int
) -> None:
    with Driver("--root", root) as driver:
        driver.wait_until(lambda: len(marks(root)) >= 3)
        driver.process.send_signal(number)
        begun_s = time.monotonic()
        assert driver.wait() == code, driver.output()
        took_s = time.monotonic() - begun_s
        assert not driver.orphans()
        output = driver.output()
    assert took_s < 10
    assert "Traceback" not in output
    assert output.strip().splitlines()[-1].startswith("error: interrupted; ")
    kept = committed_files(root)
    finish(root)
    assert {name: stamp for name, stamp in committed_files(root).items() if name in kept} == kept
    assert_as_if_nothing_had_happened(root, calm)


def test_two_drivers_at_once_agree_on_one_plan(calm: Calm, root: Path) -> None:
    with Driver("--root", root) as first, Driver("--root", root) as second:
        assert (first.wait(), second.wait()) == (0, 0), first.output() + second.output()
        assert not first.orphans() and not second.orphans()
    assert sorted(videos_of_part(root, part)[0] for part in range(len(calm.ids))) == sorted(calm.ids)
    assert_as_if_nothing_had_happened(root, calm)


def test_two_drivers_that_compute_different_streams_at_once_both_end_well(calm: Calm, root: Path) -> None:
    sound, frames = ("--set", "streams=[audio]"), ("--set", "streams=[spatial]")
    with Driver("--root", root, *sound) as first, Driver("--root", root, *frames) as second:
        assert (first.wait(), second.wait()) == (0, 0), first.output() + second.output()
        assert not first.orphans() and not second.orphans()
    finish(root, "--set", "streams=[spatial,audio]")
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


def test_an_odd_environment_changes_nothing(calm: Calm, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another locale, time zone and file mask, and no home to write to."""
    for name, value in {"LC_ALL": "C", "LANG": "C", "TZ": "Pacific/Kiritimati", "HOME": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    before = os.umask(0o077)
    try:
        finish(root)
    finally:
        os.umask(before)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (root / "features").rglob("*.parquet"))
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


def test_a_lost_head_ends_the_run_and_a_rerun_finishes(calm: Calm, root: Path) -> None:
    """Ray's control store (GCS) dies, as with the machine that it runs on."""
    with Driver("--root", root) as driver:
        driver.wait_until(lambda: len(marks(root)) >= 3)
        (head,) = driver.processes(b"gcs_server")
        os.kill(head, signal.SIGKILL)
        begun_s = time.monotonic()
        assert driver.wait(120) == 1, driver.output()
        assert time.monotonic() - begun_s < 60
        ours = (ACTOR, b"actionrec")  # an agent of Ray's own stays for another minute
        assert not driver.orphans(*ours)
        output = driver.output()
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: Ray's head at ") and "what is committed stays" in last and "Traceback" not in output
    kept = committed_files(root)
    assert len(kept) < 6 * len(calm.ids), "the head was lost after the work"
    finish(root)
    assert {name: stamp for name, stamp in committed_files(root).items() if name in kept} == kept
    assert_as_if_nothing_had_happened(root, calm)
