"""Install a locked environment and show how far that is: `python tools/install.py LOCK LOG COMMAND...`.

COMMAND is pip's, run by the same Python; its output goes into LOG. Imports nothing but what comes with Python.
"""

import re
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

POLL_S, LINE_EVERY_S = 1.0, 10.0  # on a terminal, and where there is none to redraw
TAIL = 20  # lines of the log that a failure shows
SIZE = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}
# Measured on Linux with 2 cores, the archives on the machine itself; of NVIDIA's libraries macOS needs none.
ANNOUNCED = (
    "Installing at most {packages} packages into .venv, once: 3.6 GB to fetch, 7.6 GB unpacked (less on macOS). "
    "Elsewhere that took 2 minutes beside the download, which is 5 minutes at 100 Mbit/s. All that pip says: {log}"
)


@dataclass(frozen=True)
class Reached:
    """How far pip has come, by its log."""

    named: int  # packages that were found
    fetched_mb: float
    to_unpack: int  # 0: not all are found yet

    def said(self, packages: int, unpacked: int, seconds: float) -> str:
        took = f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
        if self.to_unpack:
            return f"unpacking: {min(unpacked, self.to_unpack)} of {self.to_unpack} packages, {took}"
        return f"fetching: {self.named} of at most {packages} packages, {self.fetched_mb:,.0f} MB, {took}"


def reached(log: str) -> Reached:
    """What pip's output tells."""
    sizes = re.findall(r"^ +Downloading .*\(([0-9.]+) ([kMG]B)\)$", log, re.MULTILINE)
    chosen = re.search(r"^Installing collected packages: (.+)$", log, re.MULTILINE)
    return Reached(
        len(re.findall(r"^(?:Collecting|Processing|Requirement already satisfied:) ", log, re.MULTILINE)),
        sum(float(number) * SIZE[unit] for number, unit in sizes),
        len(chosen[1].split(",")) if chosen else 0,
    )


def packages_of(lock: str) -> int:
    """Of a requirements file: lines `name==version`, of which an environment may leave out some by their markers."""
    return len(set(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", lock, re.MULTILINE)))


def main(lock: Path, log: Path, command: list[str]) -> int:
    """Run the command to its end; returns its exit code."""
    packages, before, started = packages_of(lock.read_text()), _unpacked(), time.monotonic()
    print(ANNOUNCED.format(packages=packages, log=log), flush=True)
    with log.open("w") as said:
        pip = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        _watch(pip, log, packages, before, started)
    except KeyboardInterrupt:
        pip.terminate()
        pip.wait()
        print("\nInterrupted; the next make goes on.", file=sys.stderr)
        return 130
    if pip.returncode:
        tail = "".join(f"  {line}\n" for line in _text(log).splitlines()[-TAIL:])
        print(f"pip ended with exit code {pip.returncode}. The end of {log}:\n{tail}", end="", file=sys.stderr)
    return pip.returncode


def _watch(pip: "subprocess.Popen[bytes]", log: Path, packages: int, before: int, started: float) -> None:
    redrawn, last = sys.stdout.isatty(), started
    while pip.poll() is None:
        time.sleep(POLL_S)
        now = time.monotonic()
        if not redrawn and now - last < LINE_EVERY_S:
            continue
        last, line = now, reached(_text(log)).said(packages, _unpacked() - before, now - started)
        print(f"\r\033[K  {line}" if redrawn else f"  {line}", end="" if redrawn else "\n", flush=True)
    if redrawn:
        print("\r\033[K", end="", flush=True)


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _unpacked() -> int:
    """Packages that this Python has: pip tells nothing while it unpacks."""
    return sum(1 for _ in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
