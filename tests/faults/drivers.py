"""Drivers in processes of their own, to be killed: start one, watch what it commits, and see that it leaves nothing.

Every process of a run has the run's own temporary folder in its environment, decoder children included; that is how
they are found, and only they are ever signalled.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from actionrec.storage.layout import part_of_mark
from tests.tiny_roots import STREAMS, actionrec, committed_files

REPOSITORY = Path(__file__).resolve().parents[2]
JOB = REPOSITORY / "jobs/extract.py"
START_S, END_S, GRACE_S = 120.0, 400.0, 30.0  # generous: this shares two cores with everything else
ACTOR = b"_Actor"  # as Ray Data names the processes of cluster/actor.py


class Driver:
    """One `extract` process, or another job's, with a Ray of its own, whose logs lie in `folder` until the end."""

    def __init__(self, *arguments: object, script: Path = JOB) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ar-", dir="/tmp"))  # short: Ray keeps sockets in it
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(script), *map(str, arguments)],
                env=os.environ | {"TMPDIR": str(self.folder), "RAY_TMPDIR": str(self.folder), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *error: object) -> None:
        """Leave no process behind, whatever the test found."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self, command: bytes = b"") -> list[int]:
        """The run's living processes whose command line holds `command`, the driver's own among them."""
        return processes(f"TMPDIR={self.folder}", command)

    def wait(self, timeout_s: float = END_S) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the driver has not ended after {timeout_s} s: {self.output()}") from None

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Poll often, since the moments looked for are short; fails when the driver ends before."""
        deadline_s = time.monotonic() + START_S + END_S
        while not condition():
            assert self.process.poll() is None, f"too late, it has ended: {self.output()}"
            assert time.monotonic() < deadline_s, self.output()
            time.sleep(0.02)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def orphans(self, *commands: bytes) -> list[str]:
        """The command lines of what is left some time after the end; `commands`: of those that hold one of them."""
        deadline_s = time.monotonic() + GRACE_S
        while (
            left := [pid for command in commands or (b"",) for pid in self.processes(command)]
        ) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        lines = [Path(f"/proc/{pid}/cmdline") for pid in left]
        return [path.read_text(errors="replace") for path in lines if path.exists()]

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")


def processes(variable: str, command: bytes = b"") -> list[int]:
    """Living processes with NAME=VALUE in their environment whose command line holds `command`; no zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                line, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
                if f"{variable}\0".encode() in environment and command in line:
                    found.append(int(folder.name))
    return found


def marks(root: Path) -> set[int]:
    """The parts of which every stream is committed so far."""
    names = [f"features/status/{path.name}" for path in (root / "features/status").glob("*")]
    found = [{part_of_mark(stream, name) for name in names} - {None} for stream in STREAMS]
    return {part for part in set.intersection(*found) if part is not None}


def finish(root: Path, *more: object) -> None:
    """Run to the end in a process of its own, which succeeds and leaves nothing."""
    with Driver("--root", root, *more) as driver:
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()


def assert_a_rerun_writes_nothing(root: Path, *more: object) -> None:
    """P4, in this process: finished work needs no Ray."""
    before = committed_files(root)
    assert actionrec("extract", "--root", root, *more) == 0
    assert committed_files(root) == before
