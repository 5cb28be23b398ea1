"""Decoding in a child process: a video that crashes, starves or stalls its decoder costs itself and nothing else."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, BinaryIO, Self

from actionrec.config import Clip, Limits
from actionrec.errors import ActionrecError, Reason, VideoError
from actionrec.media import wire
from actionrec.media.decode import Decoded, Segment

COMMAND = (sys.executable, "-P", "-m", "actionrec.media.child")
KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
START_TIMEOUT_S = 60.0
STARTS = 3
CLOSE_TIMEOUT_S = 2.0
NONSENSE = (ValueError, TypeError, KeyError, ArithmeticError, RecursionError)  # what reading a hostile answer can raise


class Decoder:
    """One long-lived decoder child, restarted when a video brings it down. For one thread at a time; several Decoders
    may be driven from several threads.

    command: what to start instead of the child, given the number of its socket's descriptor (for tests).
    """

    def __init__(self, clip: Clip, limits: Limits, command: Sequence[str] | None = None) -> None:
        self._clip, self._limits = clip, limits
        self._request = {"clip": asdict(clip), "limits": asdict(limits)}
        self._command = COMMAND if command is None else tuple(command)
        self._child = _Child(self._command)  # it imports its libraries while its parent does other work

    def decode(self, data: bytes, segment: Segment | None = None, *, pictures: bool = True) -> Decoded:
        """Decode the first clip.max_s of a video file, or of a segment of it. The arrays are this process's own memory.
        Without `pictures` there are no frames, and all else is the same: see decode.decode_file.

        Raises VideoError for anything wrong with the file or its decoder (also timeout, memory and decoder_crash), and
        ActionrecError where no child can be started, which is no video's fault."""
        with wire.anonymous_file() as video:
            video.write(data)
            request = self._request | {
                "segment": None if segment is None else asdict(segment),
                "pictures": pictures,
            }
            header, arrays = self._ask(video, request)
        with arrays or contextlib.nullcontext():
            try:
                if arrays is None:
                    raise ValueError("an answer without a file")
                if "reason" not in header:
                    return wire.unpack(header, arrays, self._clip, self._limits, pictures=pictures)
                error = VideoError(Reason(header["reason"]), wire.text(header["detail"]))
            except NONSENSE:
                self._child.kill()
                raise VideoError(Reason.DECODER_CRASH, "the decoder's answer makes no sense") from None
        if error.reason is Reason.MEMORY:
            self._child.kill()  # its heap is as full as the limit allows: the next video gets a fresh one
        raise error

    def close(self) -> None:
        """End the child; again is harmless."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self, video: BinaryIO, request: dict[str, Any], again: bool = True
    ) -> tuple[dict[str, Any], BinaryIO | None]:
        """Send one video to a child that is alive and wait for its answer. A child killed by SIGKILL was killed from
        outside (by the kernel for want of memory, or by a person), so its video is tried once again."""
        child = self._living_child()
        try:
            wire.send(child.socket, request, video)
            return wire.receive(child.socket, self._limits.decode_timeout_s)
        except TimeoutError:
            child.kill()
            limit = f"limits.decode_timeout_s = {self._limits.decode_timeout_s:g}"
            raise VideoError(Reason.TIMEOUT, f"the decoder took longer than {limit}") from None
        except (EOFError, ConnectionError):
            error = child.cause_of_death()
            if again and child.killed_from_outside:
                return self._ask(video, request, again=False)
            raise error from None
        except NONSENSE:
            child.kill()
            raise VideoError(Reason.DECODER_CRASH, "the decoder's answer makes no sense") from None
        except OSError:  # this process's own; half an answer may be left in the socket
            child.kill()
            raise

    def _living_child(self) -> "_Child":
        for _ in range(STARTS):
            if self._child.is_ready():
                return self._child
            failure = self._child.cause_of_death().detail
            self._child = _Child(self._command)
        self._child.kill()
        raise ActionrecError(f"the decoder process cannot be started: {failure}")


class _Child:
    """A process, our end of its socket, and what it writes to stderr."""

    def __init__(self, command: Sequence[str]) -> None:
        self.killed_from_outside = False
        self._greeted = False
        self._stderr = wire.anonymous_file()
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )

    def is_ready(self) -> bool:
        """Alive, and past its imports: their time is not the next video's."""
        if self.process.poll() is not None:
            return False
        if not self._greeted:
            try:
                self._greeted = wire.receive(self.socket, START_TIMEOUT_S)[0].get("ready") is True
            except (OSError, EOFError, *NONSENSE):  # OSError: also a time-out
                return False
        return self._greeted

    def cause_of_death(self) -> VideoError:
        """Why the process ended; ends it if it did not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(CLOSE_TIMEOUT_S)
        self._stderr.seek(0)
        last_words = self._stderr.read()[-wire.TEXT_CHARS :].decode(errors="replace").strip().splitlines()[-1:]
        code = self.process.poll()
        self.killed_from_outside = code == -signal.SIGKILL
        self.kill()
        if code == -signal.SIGXCPU:
            return VideoError(Reason.TIMEOUT, "the decoder used more processor time than limits.decode_timeout_s")
        if code is None:
            cause = "the decoder closed its socket"
        elif code < 0:
            cause = f"the decoder was killed by signal {-code} ({signal.strsignal(-code)})"
        else:
            cause = f"the decoder ended with exit code {code}"
        return VideoError(Reason.DECODER_CRASH, ": ".join([cause, *map(wire.text, last_words)]))

    def kill(self) -> None:
        """End it now; again is harmless."""
        self.process.kill()
        self.process.wait()
        self.socket.close()

    def close(self) -> None:
        """Let it end by itself, then see that it does."""
        self.socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(CLOSE_TIMEOUT_S)
        self.kill()
        self._stderr.close()


def _environment() -> dict[str, str]:
    """No credentials and no tokens: only what Python needs to find and import the same code."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",  # numpy would reserve address space for a thread per core
    }
