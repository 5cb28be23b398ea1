"""Whole runs are killed, signalled, started twice, lose their head: what is committed stays, a rerun does the rest."""

import os
import signal
import time
from pathlib import Path

import pytest

from actionrec.cluster.lastword import SENTENCE
from tests.faults.conftest import Calm, assert_as_if_nothing_had_happened
from tests.faults.drivers import ACTOR, Driver, finish, marks
from tests.tiny_roots import committed_files, videos_of_part

pytestmark = pytest.mark.timeout(900)


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
        assert driver.wait() == code, driver.output()
        assert not driver.orphans()
        output = driver.output()
    assert len(marks(root)) < len(calm.ids), "it went on to the end of its work"
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
