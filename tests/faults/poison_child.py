"""The decoder child, but a video whose last bytes name a trouble brings it about while its container is opened."""

import ctypes
import os
from typing import Any, BinaryIO

from actionrec.media import child, decode

MARK = b"POISON:"
open_container = decode.open_container


def poisoned(data: bytes, trouble: str) -> bytes:
    """`data` with the trouble it is to bring about."""
    return data + MARK + trouble.encode()


def open_poisoned(file: BinaryIO) -> Any:
    _, mark, trouble = file.read().rpartition(MARK)
    file.seek(0)
    match trouble if mark else b"":
        case b"segfault":
            ctypes.string_at(0)
        case b"abort":
            os.abort()
        case b"loop":
            while True:
                pass
        case b"memory":
            bytearray(2**40)
        case b"exit":
            os._exit(3)
        case b"stderr":
            os.write(2, b"last words\n")
            os.kill(os.getpid(), 9)
    return open_container(file)


if __name__ == "__main__":
    decode.open_container = open_poisoned
    child.main()
