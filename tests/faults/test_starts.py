"""Sessions of Ray whose work fails, time and again: each ends with a sentence and its exit code, never by abort.

ACTIONREC_STARTS=200 starts that many; each kind of failure comes in turn.
"""

import itertools
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.drivers import Driver
from tests.faults.failing_job import KINDS

JOB = Path(__file__).with_name("failing_job.py")
RAYLET = b"raylet/raylet"
STARTS = int(os.environ.get("ACTIONREC_STARTS", len(KINDS)))
pytestmark = pytest.mark.timeout(60 * STARTS + 300)


def test_a_session_whose_work_fails_ends_with_its_sentence() -> None:
    ended: Counter[tuple[str, int]] = Counter()
    for kind in itertools.islice(itertools.cycle(KINDS), STARTS):
        _, code, sentence = KINDS[kind]
        with Driver(kind, script=JOB) as driver:
            assert driver.wait() == code, (kind, driver.output())
            assert not driver.orphans()
            said = driver.output().strip().splitlines()
        assert said[-1].startswith("error: ") and sentence in said[-1], (kind, said)
        assert "Traceback" not in "\n".join(said)
        ended[kind, code] += 1
    print(dict(ended))


def test_a_raylet_that_does_not_come_up_is_started_once_more() -> None:
    with Driver("refuse", script=JOB) as driver:
        kill_the_raylet(driver)  # before the driver has found it
        assert driver.wait() == KINDS["refuse"][1], driver.output()
        assert not driver.orphans()
        said = driver.output().strip().splitlines()
    assert said[0].startswith("warning: ") and "started once more" in said[0], said
    assert KINDS["refuse"][2] in said[-1], said


def test_a_raylet_that_dies_as_it_is_joined_ends_the_run_with_a_sentence() -> None:
    with Driver("refuse", script=JOB) as driver:
        kill_the_raylet(driver, after_s=0.7)
        assert driver.wait() != 0, driver.output()
        assert not driver.orphans(b"failing_job", b"lastword")
        said = driver.output().strip().splitlines()
    assert said[-1].startswith("error: ") and "Traceback" not in "\n".join(said), said


def kill_the_raylet(driver: Driver, after_s: float = 0.0) -> None:
    driver.wait_until(lambda: bool(driver.processes(RAYLET)))
    time.sleep(after_s)
    os.kill(driver.processes(RAYLET)[0], signal.SIGKILL)
