"""A folder as a store: whole files appear under their name, or none, and nothing that is done leaves the folder.

Only reading follows links: those that stay within the folder, and those of layout.may_be_linked, which may name a file
anywhere. Where a link leads is worked out in words; the way there is opened by `beneath`, for which no name may be a
link. Writing and deleting follow none at all: they replace or remove the link itself.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from actionrec.errors import ActionrecError, InputError
from actionrec.storage import beneath, layout
from actionrec.storage.beneath import LinkError, Place


class LocalStore:
    """A folder, which may itself be a link or lie below one: that is its owner's wish."""

    def __init__(self, folder: str) -> None:
        if not beneath.SUPPORTED:
            raise InputError("this system cannot open files without following links; use Linux or macOS")
        self.url = os.path.abspath(os.path.expanduser(folder))
        top, inner = layout.root_of(self.url)
        self._top, self._inner = os.path.realpath(top), PurePosixPath(inner).parts
        self._root = Path(self._top, inner)

    def read(self, key: str) -> bytes:
        try:
            *place, name = self._followed(key)
            with self._folder(place) as held:
                return beneath.read(held, name, linked=layout.may_be_linked(key))
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            if _is_absent(error):
                raise FileNotFoundError(str(error)) from None
            raise ActionrecError(f"{self._root / key}: cannot be read ({error.strerror})") from error

    def put(self, key: str, data: bytes) -> None:
        with self._temporary(key, data) as (held, temporary, name):
            os.replace(temporary, name, src_dir_fd=held, dst_dir_fd=held)

    def put_new(self, key: str, data: bytes) -> bool:
        with self._temporary(key, data) as (held, temporary, name):
            try:
                os.link(temporary, name, src_dir_fd=held, dst_dir_fd=held, follow_symlinks=False)
            except FileExistsError:
                if not self.exists(key):
                    raise InputError(f"{self._root / key}: no file, and in the way of one; remove it") from None
                return False
        return True

    def size(self, key: str) -> int | None:
        state = self._state(self._followed(key), linked=layout.may_be_linked(key))
        return state.st_size if state is not None and stat.S_ISREG(state.st_mode) else None

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def sizes(self, prefix: str = "") -> dict[str, int | None]:
        return {key: None if state is None else state.st_size for key, state in self._files(prefix)}

    def versions(self, prefix: str) -> dict[str, str]:
        files = self._files(prefix)
        return {key: f"{state.st_mtime_ns}-{state.st_ino}-{state.st_size}" for key, state in files if state is not None}

    def contents(self, prefix: str = "") -> dict[str, tuple[int | None, str | None]]:
        files = self._files(prefix)
        return {key: (None, None) if state is None else (state.st_size, str(state.st_mtime_ns)) for key, state in files}

    def delete(self, prefix: str) -> None:
        place = self._place(prefix)
        found = self._state(place)
        is_folder = found is not None and stat.S_ISDIR(found.st_mode)
        if found is not None and (not prefix.endswith("/") or stat.S_ISLNK(found.st_mode)):
            self._unlink(place)
        pending = [place] if prefix.endswith("/") and is_folder else []
        while pending:
            place = pending.pop()
            for name, state in self._listed(place):
                if stat.S_ISDIR(state.st_mode):
                    pending.append((*place, name))
                elif not name.startswith(beneath.TEMPORARY):
                    self._unlink((*place, name))

    def _files(self, prefix: str) -> Iterator[tuple[str, os.stat_result | None]]:
        """The keys that begin with `prefix` and the states of their files: None for what has a name and no bytes."""
        pending = [(prefix, self._inside(self._place(prefix)) if prefix else (), False)]
        while pending:
            start, place, in_linked = pending.pop()
            for name, found in self._listed(place):
                key, end = start + name, (*place, name)
                state: os.stat_result | None = found
                if is_link := stat.S_ISLNK(found.st_mode):
                    end, state = self._end_of_link(key, end)
                if state is not None and stat.S_ISDIR(state.st_mode):
                    if is_link and in_linked:  # also what ends a circle
                        raise LinkError(f"{self._root / key}: this link lies in a folder that is one; {_REMEDY}")
                    pending.append((f"{key}/", end, in_linked or is_link))
                elif not name.startswith(beneath.TEMPORARY):
                    yield key, state if state is not None and stat.S_ISREG(state.st_mode) else None

    def _end_of_link(self, key: str, place: Place) -> tuple[Place, os.stat_result | None]:
        """Where the link at `place` leads, and what is there: None for nothing. LinkError where that is outside."""
        if layout.may_be_linked(key):
            return place, self._state(place, linked=True)
        try:
            end = self._inside(place)
        except LinkError:
            if os.path.exists(self._root.joinpath(*place)):
                raise
            return place, None
        return end, self._state(end)

    def _place(self, key: str) -> Place:
        place = PurePosixPath(key).parts
        if not place or ".." in place or "\0" in key or key.startswith("/"):
            raise FileNotFoundError(f"{key!r} leads out of {self.url}")
        return place

    def _followed(self, key: str) -> Place:
        """Where to read `key`: never empty, and without a link but, in the last name, one that may lead anywhere."""
        place = self._place(key)
        if layout.may_be_linked(key):
            return (*self._inside(place[:-1]), place[-1])
        return self._inside(place) or (".",)

    def _inside(self, place: Place) -> Place:
        """Where the links in `place` lead. Only words: who opens them still follows no link. LinkError: to outside."""
        path = self._root.joinpath(*place)
        end = Path(os.path.realpath(path))
        if not end.is_relative_to(self._root):
            raise LinkError(f"{path}: this link leads out of {self.url}; {_REMEDY}")
        return end.relative_to(self._root).parts

    def _folder(self, place: list[str] | Place, *, make: bool = False) -> contextlib.AbstractContextManager[int]:
        return beneath.folder(self._top, (*self._inner, *place), make=make)

    def _state(self, place: Place, *, linked: bool = False) -> os.stat_result | None:
        """What is at `place`, itself or, if `linked`, at the end of its last link; None: nothing."""
        try:
            with self._folder(place[:-1]) as held:
                return os.stat((place or (".",))[-1], dir_fd=held, follow_symlinks=linked)
        except OSError as error:
            if _is_absent(error):
                return None
            if isinstance(error, LinkError):
                raise
            raise InputError(f"{self._root.joinpath(*place)}: cannot be looked at ({error.strerror})") from None

    def _listed(self, place: Place) -> list[tuple[str, os.stat_result]]:
        try:
            with self._folder(place) as held:
                return list(beneath.entries(held))
        except LinkError:
            raise
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{self._root.joinpath(*place)}: the folder cannot be listed ({error.strerror})") from None

    def _unlink(self, place: Place) -> None:
        try:
            with self._folder(place[:-1]) as held:
                os.unlink(place[-1], dir_fd=held)
        except FileNotFoundError:
            pass
        except LinkError:
            raise
        except OSError as error:
            raise ActionrecError(f"{self._root.joinpath(*place)}: cannot be deleted ({error.strerror})") from None

    @contextlib.contextmanager
    def _temporary(self, key: str, data: bytes) -> Iterator[tuple[int, str, str]]:
        """The key's folder, held open, the name of a file in it that holds `data`, and the name it is to have."""
        *place, name = self._place(key)
        try:
            with self._folder(place, make=True) as held:
                temporary = beneath.write_temporary(held, data)
                try:
                    yield held, temporary, name
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=held)
        except LinkError:
            raise
        except OSError as error:
            raise ActionrecError(
                f"{self._root / key}: cannot be written ({error.strerror}); free the disk or pick another --root"
            ) from None


_REMEDY = "copy what it names, or remove it"


def _is_absent(error: OSError) -> bool:
    """Names that are too long or links in a circle: no such file can be there."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
