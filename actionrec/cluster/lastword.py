"""The last word on a process that cannot have it itself: one that Ray's native code aborts, or that somebody kills.

A child holds the reading end of a pipe. Where the pipe closes without a goodbye it says that the process has ended, and
what Ray said last. It knows neither the package nor Ray, outlives its parent by no more than that sentence, and is in a
session of its own, where no Ctrl-C reaches it.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from typing import IO

SENTENCE = (
    "error: this process was ended before it could say why (by kill -9, for want of memory, or by Ray's native code); "
    "what is committed stays, and the same command goes on from there"
)
INFORMATION = re.compile(r"\[[^]]* I [^]]*\]")  # as Ray's native code begins such a line
GOODBYE = b"goodbye"
SHOWN_LINES, LINE_CHARACTERS, TAIL_BYTES = 5, 300, 2**14
SECRET = re.compile("TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)  # in names of environment variables
IN_URL = re.compile(r"://[^/@\s]+@")
SHORT = 6  # characters; a shorter value would be found by chance


class LastWord:
    """From its making to `goodbye`, an end of this process without a word is told."""

    def __init__(self) -> None:
        # What Ray says while it starts, which is hidden.
        self.said: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open until the goodbye
        alive, self._alive = os.pipe()
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(self.said.fileno())],
                stdin=alive,
                stdout=subprocess.DEVNULL,
                pass_fds=[self.said.fileno()],
                start_new_session=True,
            )
        finally:
            os.close(alive)

    def goodbye(self) -> None:
        """This process says itself how it ends, or goes on without Ray."""
        with contextlib.suppress(BrokenPipeError):  # the child was killed too
            os.write(self._alive, GOODBYE)
        os.close(self._alive)
        self._child.wait()
        self.said.close()


def tail(said: int) -> list[str]:
    """The last lines of an open file, without the secrets of this process's environment."""
    size = os.fstat(said).st_size
    text = os.pread(said, TAIL_BYTES, max(0, size - TAIL_BYTES)).decode(errors="replace")
    text = without_secrets(text)
    lines = [line.strip()[:LINE_CHARACTERS] for line in text.splitlines()]
    return [line for line in lines if line and not INFORMATION.match(line)][-SHOWN_LINES:]


def without_secrets(text: str) -> str:
    """The text without the values of environment variables that are called secret, and without passwords in URLs."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) > SHORT:
            text = text.replace(value, "***")
    return IN_URL.sub("://***@", text)


def _wait(said: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever stops a job signals all its processes
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, len(GOODBYE)) != GOODBYE:
        lines = [f"Ray said: {line}" for line in tail(said)]
        with contextlib.suppress(OSError):  # nobody reads any more
            os.write(2, "".join(f"{line}\n" for line in [*lines, SENTENCE]).encode())


if __name__ == "__main__":
    _wait(int(sys.argv[1]))
