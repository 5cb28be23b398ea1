"""Opens what lies beneath a folder, and nothing else, whatever anybody makes of its names meanwhile.

Each name is opened within the folder that has been opened before it, and the system follows no link on the way. So
there is no moment between looking and opening in which a folder could be exchanged for a link that leads elsewhere.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence

from actionrec.errors import InputError

SUPPORTED = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and os.listdir in os.supports_fd
TEMPORARY = ".tmp-"  # how the names of files begin that are not whole yet

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0)
_FILE = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for ever

Place = tuple[str, ...]  # the names that lead from a folder to what lies beneath it


class LinkError(InputError, PermissionError):
    """A link that is not followed. For one video a file that may not be read; for a whole job, bad input."""


@contextlib.contextmanager
def folder(top: str, place: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder `place` beneath `top`, for use as `dir_fd`; `make` makes folders that are missing.

    `top` itself may be a link. LinkError where a name in `place` is one, else OSError.
    """
    if make:
        os.makedirs(top, exist_ok=True)
    held = os.open(top, _WALK)
    try:
        for depth, name in enumerate(place, start=1):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=held)
            try:
                below = os.open(name, _WALK | os.O_NOFOLLOW, dir_fd=held)
            except OSError:
                if is_link(held, name):
                    raise LinkError(_not_followed(os.path.join(top, *place[:depth]))) from None
                raise
            os.close(held)
            held = below
        yield held
    finally:
        os.close(held)


def read(held: int, name: str, *, linked: bool = False) -> bytes:
    """The file `name` in an open folder; `linked` lets the name itself be a link.

    LinkError where it is one and may not be, FileNotFoundError where it is no regular file, else OSError.
    """
    try:
        handle = os.open(name, _FILE | (0 if linked else os.O_NOFOLLOW), dir_fd=held)
    except OSError:
        if not linked and is_link(held, name):
            raise LinkError(_not_followed(name)) from None
        raise
    with contextlib.ExitStack() as closing:
        closing.callback(os.close, handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileNotFoundError(f"{name} is no regular file")
        with open(handle, "rb", closefd=False) as file:
            return file.read()


def write_temporary(held: int, data: bytes) -> str:
    """The name of a new file in an open folder that holds `data` on the disk; nothing is left where that fails."""
    name = TEMPORARY + secrets.token_hex(8)
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=held)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(name, dir_fd=held)
        raise
    return name


def entries(held: int) -> Iterator[tuple[str, os.stat_result]]:
    """Name and state of what is in an open folder; links are not followed, and what vanishes meanwhile is left out."""
    listed = os.open(".", os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0), dir_fd=held)
    try:
        names = os.listdir(listed)
    finally:
        os.close(listed)
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            yield name, os.stat(name, dir_fd=held, follow_symlinks=False)


def is_link(held: int, name: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=held, follow_symlinks=False).st_mode)
    return False


def _not_followed(path: str) -> str:
    return f"{path}: this is a link, which is not followed; put what it names in its place, or remove it"
