"""How a decoder child and its parent talk: lines of JSON over a socket, each with at most one file beside it.

Videos go down and arrays come up in anonymous files: they have no name to leak when a process dies, take no address
space in the child, and reach the parent without a copy. Nothing is pickled, and the parent believes no number before it
has compared it with the file: the child may have been taken over by what it decoded.
"""

import errno
import fcntl
import json
import math
import mmap
import os
import socket
import sys
import tempfile
import time
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from actionrec.config import Clip, Limits
from actionrec.errors import Reason
from actionrec.media.decode import Decoded, Track

LINE_BYTES = 16_384
TEXT_CHARS = 500  # of an error's detail


def anonymous_file() -> BinaryIO:
    """A file without a name: in memory on Linux (not /dev/shm, which is 64 MB in many containers), else temporary."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("actionrec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    return tempfile.TemporaryFile()


def send(peer: socket.socket, header: dict[str, Any], file: BinaryIO | None = None) -> None:
    """Raises ConnectionError if the other side is gone."""
    line = json.dumps(header).encode() + b"\n"
    if file is not None:
        file.flush()
    socket.send_fds(peer, [line], [] if file is None else [file.fileno()])


def receive(peer: socket.socket, timeout_s: float | None = None) -> tuple[dict[str, Any], BinaryIO | None]:
    """Raises EOFError or ConnectionError if the other side is gone, TimeoutError, ValueError for what is not a line,
    and OSError (EMFILE) where a file came and this process may open no more."""
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    line, files = b"", list[BinaryIO]()
    try:
        while not line.endswith(b"\n"):
            peer.settimeout(None if deadline_s is None else max(deadline_s - time.monotonic(), 1e-3))
            piece, descriptors, flags, _ = socket.recv_fds(peer, LINE_BYTES, 1, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
            if flags & socket.MSG_CTRUNC and not descriptors:  # the kernel dropped the file that came, without a word
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            files += [os.fdopen(descriptor, "rb") for descriptor in descriptors]
            line += piece
            if not piece:
                raise EOFError
            if len(line) > LINE_BYTES or len(files) > 1:
                raise ValueError("a message of another form")
        header = json.loads(line)
        if not isinstance(header, dict):
            raise ValueError("a message of another form")
    except BaseException:
        for file in files:
            file.close()
        raise
    return header, files[0] if files else None


def pack(track: Track, file: BinaryIO) -> dict[str, Any]:
    """Put the rest of a video behind its frames, which `file` holds already; the header that describes the file."""
    file.write(track.pts_ticks.astype("<i8").tobytes())
    if track.audio is not None:
        file.write(track.audio.astype("<f4").tobytes())
    file.flush()
    if sys.platform == "linux":  # from here on not even this process can change it under the parent's eyes
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, seals)
    return {
        "frames": len(track.pts_ticks),
        "samples": None if track.audio is None else len(track.audio),
        "time_base": track.time_base.as_integer_ratio(),
        "duration_s": track.duration_s.as_integer_ratio(),
        "frames_declared": track.frames_declared,
        "audio_error": None if track.audio_error is None else track.audio_error[:TEXT_CHARS],
        "audio_reason": None if track.audio_reason is None else track.audio_reason.value,
    }


def unpack(header: dict[str, Any], file: BinaryIO, clip: Clip, limits: Limits, *, pictures: bool) -> Decoded:
    """The arrays that `pack` described, with or without frames before them. Raises ValueError, TypeError, KeyError or
    ArithmeticError where header, file and the limits do not agree in every particular."""
    frames, samples = _count(header["frames"], limits.frames), header["samples"]
    sample_count = 0 if samples is None else _count(samples, int(clip.max_s * 16_000) + 1)
    shape = frames if pictures else 0, clip.height, clip.width, 3
    pixel_bytes, tick_bytes = math.prod(shape), frames * 8
    if not frames or os.fstat(file.fileno()).st_size != pixel_bytes + tick_bytes + sample_count * 4:
        raise ValueError("the file is not as long as its header says")
    memory = _contents(file, pixel_bytes + tick_bytes + sample_count * 4)
    ticks = np.frombuffer(memory, "<i8", frames, pixel_bytes).astype(np.int64)
    audio = np.frombuffer(memory, "<f4", sample_count, pixel_bytes + tick_bytes).astype(np.float32)
    if (header["audio_error"] is None) != (header["audio_reason"] is None):
        raise ValueError("an error of the sound without its reason, or a reason without an error")
    if ticks[0] != 0 or (np.diff(ticks) <= 0).any() or not (np.abs(audio) <= 1).all():
        raise ValueError("times that do not increase, or sound out of its range")
    return Decoded(
        frames_THWC=np.frombuffer(memory, np.uint8, pixel_bytes).reshape(shape),
        pts_ticks=ticks,
        time_base=_ratio(header["time_base"]),
        duration_s=_ratio(header["duration_s"]),
        frames_declared=_count(header["frames_declared"], 2**31 - 1),
        audio=None if samples is None else audio,
        audio_error=None if header["audio_error"] is None else text(header["audio_error"]),
        audio_reason=None if header["audio_reason"] is None else Reason(header["audio_reason"]),
    )


def text(value: object) -> str:
    """A short printable line, whatever the child sent."""
    return "".join(character if character.isprintable() else " " for character in str(value)[:TEXT_CHARS])


def _contents(file: BinaryIO, size: int) -> mmap.mmap | bytearray:
    """The file as memory that only this process changes. A file that could still shrink would take the process with it
    (SIGBUS), so without seals it is copied."""
    if sys.platform == "linux" and fcntl.fcntl(file.fileno(), fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
        return mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE)
    copy = bytearray(size)
    file.seek(0)
    if file.readinto(copy) != size:  # type: ignore[attr-defined]  # what os.fdopen(.., "rb") gives has it
        raise ValueError("the file shrank while it was read")
    return copy


def _count(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"not a count up to {most}")
    return value


def _ratio(value: list[int]) -> Fraction:
    """A positive fraction. Plain integers only: a Fraction of a float or a string can be of any length."""
    numerator, denominator = (_count(part, 2**63 - 1) for part in value)
    ratio = Fraction(numerator, denominator)
    if not ratio:
        raise ValueError("not a positive number")
    return ratio
