"""Bytes under one URL: a local folder, or a prefix of an object store through fsspec.

A write is whole or absent: bytes are made in memory first, then put under their final key in one step. Readers of a
key therefore never see half a file, whatever was killed. Both stores have the same methods; a *key* is a path
relative to the store's URL, in posix form, and is never interpreted as anything else.
"""

import os
from typing import Protocol
from urllib.parse import urlsplit

from actionrec.config import Storage
from actionrec.errors import InputError
from actionrec.storage.local_store import LocalStore
from actionrec.storage.object_store import ObjectStore

SCHEMES = ("s3", "gs", "gcs", "abfs", "memory")


class Store(Protocol):
    """What both stores do. Every method may raise ActionrecError when the store cannot be reached."""

    url: str

    def read(self, key: str) -> bytes:
        """The whole object. FileNotFoundError; PermissionError where this one object may not be read; DamagedError."""

    def put(self, key: str, data: bytes) -> None:
        """Store the object, replacing what was there."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Store the object only if the key is free; False if somebody else's object is there already."""

    def size(self, key: str) -> int | None:
        """The object's bytes; None where there is none."""

    def exists(self, key: str) -> bool: ...

    def sizes(self, prefix: str = "") -> dict[str, int | None]:
        """Key -> bytes of everything whose key begins with `prefix`, which ends in "/" or is empty.

        None for what has a name and no bytes: a link to nowhere, a pipe.
        """

    def versions(self, prefix: str) -> dict[str, str]:
        """Key -> a text that is another one once the object has been written again, of all that `sizes` would list."""

    def contents(self, prefix: str = "") -> dict[str, tuple[int | None, str | None]]:
        """Key -> bytes, as `sizes`, and a text that is another one where the content may be another; None: no bytes.

        The text is that of the content rather than of the writing: a copy that keeps the time of a file, or the ETag
        of an object, is no change.
        """

    def delete(self, prefix: str) -> None:
        """Remove the key `prefix`, or all keys under it where it ends in "/"."""


def read_if_there(store: Store, key: str) -> bytes | None:
    """The object; None where there is none."""
    try:
        return store.read(key)
    except FileNotFoundError:
        return None


def put_changed(store: Store, key: str, data: bytes) -> None:
    """Store the object unless it is there already, byte for byte."""
    if not store.exists(key) or store.read(key) != data:
        store.put(key, data)


def named_file(file: str, storage: Storage) -> tuple[Store, str]:
    """The store and the key of one file that a person has named: a local path, which may be a link, or a URL."""
    path = file.rstrip("/") if "://" in file else os.path.realpath(os.path.expanduser(file))
    folder, _, name = path.rpartition("/")
    return open_store(folder or "/", storage), name


def open_store(url: str, storage: Storage) -> Store:
    """The store at `url`: a local path, or scheme://bucket/prefix. Credentials come from the environment only."""
    if "@" in (storage.endpoint_url or ""):
        raise InputError("storage.endpoint_url must not hold credentials; put them into the environment")
    if not url:
        raise InputError("--root is empty; name a folder, or s3://bucket/prefix")
    if "://" not in url:
        return LocalStore(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{_shown(url)}: not a URL ({error}); write s3://bucket/prefix") from None
    if parts.scheme == "file" and not parts.netloc:
        return LocalStore(parts.path)
    if parts.scheme not in SCHEMES:
        raise InputError(f"{_shown(url)}: this kind of storage is not supported; use a path or s3://bucket/prefix")
    if "@" in parts.netloc or parts.query:
        raise InputError(f"{_shown(url)}: a URL must not hold credentials; put them into the environment")
    if not parts.netloc:
        raise InputError(f"{_shown(url)}: the bucket is missing; write {parts.scheme}://bucket/prefix")
    return ObjectStore(f"{parts.scheme}://{url.partition('://')[2]}", storage)


def _shown(url: str) -> str:
    """`url` without anything before an @ in it, and without its query: those can be secrets."""
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    return f"{scheme}://{netloc.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
