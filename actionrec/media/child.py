"""The process that touches hostile bytes: `python -m actionrec.media.child FD`, started by `isolate.Decoder`.

It decodes one video after another within limits it sets on itself before it reads a byte of them. A video may kill it,
starve it or take it over; the parent then starts another one.
"""

import gc
import math
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import Any, BinaryIO

import av.logging

from actionrec.config import Clip, Limits
from actionrec.errors import VideoError
from actionrec.media import wire
from actionrec.media.decode import Segment, decode_file
from actionrec.media.probe import GIB

OPEN_FILES = 32
OTHER_BYTES = 64 * 2**20  # times, sound and error text beside the frames


def main() -> None:
    """Serve until the parent closes the socket or dies."""
    threading.Thread(target=_exit_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    av.logging.set_level(None)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    own_bytes = _address_space_bytes()
    parent = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()  # what is imported stays: collecting garbage need not look at it
    wire.send(parent, {"ready": True})
    while True:
        try:
            request, video = wire.receive(parent)
        except EOFError:
            return
        assert video is not None
        with video, wire.anonymous_file() as arrays:
            header = _decode(request, video, arrays, own_bytes)
            wire.send(parent, header, arrays)
        gc.collect()  # libav objects refer to each other in circles: 1 MB and more of memory for every video


def _decode(request: dict[str, Any], video: BinaryIO, arrays: BinaryIO, own_bytes: int) -> dict[str, Any]:
    clip, limits = Clip(**request["clip"]), Limits(**request["limits"])
    _limit_job(clip, limits, own_bytes)
    segment = None if request["segment"] is None else Segment(**request["segment"])
    try:
        emit = (lambda frame: arrays.write(frame.data)) if request["pictures"] else None
        track = decode_file(video, clip, limits, emit, segment)
        return wire.pack(track, arrays)
    except VideoError as error:
        return {"reason": error.reason.value, "detail": wire.text(error.detail)}


def _limit_job(clip: Clip, limits: Limits, own_bytes: int) -> None:
    """Soft limits, set anew for every video. The frames lie in a file, so they count as file size, not as memory."""
    _limit(resource.RLIMIT_FSIZE, limits.frames * clip.width * clip.height * 3 + OTHER_BYTES)
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + limits.decode_timeout_s) + 1)
    if sys.platform == "linux":  # others do not enforce it, and some refuse it
        _limit(resource.RLIMIT_AS, own_bytes + int(limits.decode_memory_gib * GIB))


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space_bytes() -> int:
    """What the interpreter and the libraries take before any video."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def _exit_with(parent_pid: int) -> None:
    """End when the parent is gone, even in the middle of a video (libav decodes without holding Python's lock)."""
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
