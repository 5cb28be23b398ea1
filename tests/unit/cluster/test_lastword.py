"""A process that ends without a word has its sentence said by another, which ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionrec.cluster import lastword

REPOSITORY = Path(__file__).resolve().parents[3]
BEGIN = """
import os, signal, sys, time
from actionrec.cluster.lastword import LastWord
word = LastWord()
word.said.write(b"[2026-01-01 I 1 1] of no interest\\n[2026-01-01 E 1 1] the raylet died, planted/secret\\n")
"""


def run(ending: str) -> tuple[int, str, str]:
    """The exit code, and what was said on stderr and stdout by the time that the last process of it is gone."""
    process = subprocess.run(
        [sys.executable, "-c", BEGIN + ending],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "SOME_TOKEN": "planted/secret"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return process.returncode, process.stderr, process.stdout


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("os.abort()", -signal.SIGABRT),
        ("os._exit(1)", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.killpg(0, signal.SIGINT) if os.setpgrp() is None else None; time.sleep(60)", -signal.SIGINT),
    ],
)
def test_an_end_without_a_word_is_told_with_what_ray_said(ending: str, code: int) -> None:
    ended, said, _ = run("signal.signal(signal.SIGINT, signal.SIG_DFL)\n" + ending)
    assert ended == code
    assert said.splitlines() == ["Ray said: [2026-01-01 E 1 1] the raylet died, ***", lastword.SENTENCE]


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("sys.exit(3)", 3), ("os._exit(4)", 4)])
def test_after_a_goodbye_nothing_is_told(ending: str, code: int) -> None:
    assert run("word.goodbye()\n" + ending)[:2] == (code, "")


STOP = """
ignored = lambda: int(open(f"/proc/{word._child.pid}/status").read().split("SigIgn:")[1].split()[0], 16)
while not ignored() >> (signal.SIGTERM - 1) & 1:
    time.sleep(0.01)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    word._child.send_signal(number)
print(word._child.pid)
sys.stdout.flush()
os.abort()
"""


def test_the_child_heeds_no_signal_that_ends_a_job_and_outlives_nobody() -> None:
    ended, said, child = run(STOP)
    assert ended == -signal.SIGABRT and said.endswith(lastword.SENTENCE + "\n")
    deadline_s = time.monotonic() + 30  # it has closed its files, and is about to be gone
    while alive(child.strip()) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not alive(child.strip())


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except OSError:
        return False
