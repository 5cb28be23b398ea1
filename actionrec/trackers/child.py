"""A tool's process: takes lines of JSON, hands them to the tool, and says in one line why it cannot go on."""

import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO, cast

from actionrec.cluster.lastword import without_secrets
from actionrec.trackers.run import Tool, TrackedRun

LONGEST = 300  # characters of a reason


def serve(name: str, folder: Path, lines: Iterable[str]) -> None:
    """Feed the tool of that name until nothing comes any more. Raises whatever the tool raises."""
    make = importlib.import_module(f"actionrec.trackers.{name}").tool
    opened: Tool | None = None
    for line in lines:
        said = json.loads(line)
        if "run" in said:
            if opened:
                opened.close()
            opened = cast(Tool, make(TrackedRun(**said["run"]), folder))
        elif opened:
            opened.epoch(said["epoch"], said["figures"])
    if opened:
        opened.close()


def main(name: str, folder: Path, lines: TextIO) -> int:
    """The process's exit code; what went wrong is its only line of output."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the training ends it, by closing the pipe
        signal.signal(number, signal.SIG_IGN)
    answer, quiet = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # what tools print, they print to nobody
    os.dup2(quiet, 2)
    with contextlib.closing(answer):
        try:
            serve(name, folder, lines)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training says it and goes on
            reason = without_secrets(f"{type(error).__name__}: {' '.join(str(error).split())}")
            answer.write(reason[:LONGEST] + "\n")
            return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1], Path(sys.argv[2]), sys.stdin)
    sys.stdout.flush()
    os._exit(code)  # a tool's threads may wait for a server that does not answer
