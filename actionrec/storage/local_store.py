"""A folder as a store: whole files appear under their name, or none."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from actionrec.errors import ActionrecError, InputError


class LocalStore:
    """A folder. Links that lead out of it are not followed."""

    def __init__(self, folder: str) -> None:
        self.url = os.path.abspath(os.path.expanduser(folder))
        self._root = Path(os.path.realpath(self.url))

    def read(self, key: str) -> bytes:
        path = self._path(key)
        try:
            if not path.resolve().is_relative_to(self._root):
                raise PermissionError(f"{path} is a link that leads out of {self.url}")
            if path.exists() and not path.is_file():
                raise FileNotFoundError(f"{path} is no regular file")  # reading a pipe would wait for ever
            return path.read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(str(error)) from None
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            if error.errno in (36, 40):  # name too long, too many links: no such file can be there
                raise FileNotFoundError(str(error)) from None
            raise ActionrecError(f"{path}: cannot be read ({error.strerror})") from None

    def put(self, key: str, data: bytes) -> None:
        with self._temporary(key, data) as temporary:
            os.replace(temporary, self._path(key))

    def put_new(self, key: str, data: bytes) -> bool:
        with self._temporary(key, data) as temporary:
            try:
                os.link(temporary, self._path(key))
            except FileExistsError:
                return False
        return True

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def sizes(self, prefix: str = "") -> dict[str, int | None]:
        return {key: None if stat is None else stat.st_size for key, stat in self._files(prefix)}

    def versions(self, prefix: str) -> dict[str, str]:
        files = self._files(prefix)
        return {key: f"{stat.st_mtime_ns}-{stat.st_ino}-{stat.st_size}" for key, stat in files if stat is not None}

    def contents(self, prefix: str = "") -> dict[str, tuple[int | None, str | None]]:
        files = self._files(prefix)
        return {key: (None, None) if stat is None else (stat.st_size, str(stat.st_mtime_ns)) for key, stat in files}

    def _files(self, prefix: str) -> Iterator[tuple[str, os.stat_result | None]]:
        for folder, folders, names in os.walk(self._path(prefix), onerror=self._unreadable):
            for name in folders + names:
                path = Path(folder, name)
                if path.is_symlink() and path.exists() and not path.resolve().is_relative_to(self._root):
                    raise InputError(f"{path}: this link leads out of {self.url}; copy what it names, or remove it")
                if name in names and not name.startswith(".tmp-"):
                    yield path.relative_to(self._root).as_posix(), path.stat() if path.is_file() else None

    def delete(self, prefix: str) -> None:
        if not prefix.endswith("/"):
            self._path(prefix).unlink(missing_ok=True)
            return
        for key in self.sizes(prefix):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = self._root / key
        if ".." in Path(key).parts or "\0" in key or not path.is_relative_to(self._root):
            raise FileNotFoundError(f"{key!r} leads out of {self.url}")
        return path

    @contextlib.contextmanager
    def _temporary(self, key: str, data: bytes) -> Iterator[str]:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
            try:
                with open(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 would hide results from other users
                yield temporary
            finally:
                Path(temporary).unlink(missing_ok=True)
        except OSError as error:
            raise ActionrecError(
                f"{path}: cannot be written ({error.strerror}); free the disk or pick another --root"
            ) from None

    @staticmethod
    def _unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise InputError(f"{error.filename}: the folder cannot be listed ({error.strerror})") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
