"""A prefix of a bucket as a store, through fsspec: S3 and what speaks like it, Google Cloud Storage, Azure."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from actionrec.config import Storage
from actionrec.errors import ActionrecError, DamagedError, InputError

T = TypeVar("T")
TRIES = 8  # with growing pauses, of some 10 s in all: a server may have been started anew
READ_TRIES = 3  # of an object whose checksum does not fit
VERSION = (
    "ETag",
    "etag",
    "LastModified",
    "updated",
    "last_modified",
    "created",
    "size",
)  # as S3, GCS, Azure, memory say
CONTENT = ("ETag", "md5Hash", "etag")  # of VERSION, what stays the same where equal bytes are written again


class ObjectStore:
    """A prefix of a bucket. Reads are one GET each, so that the store's checksum covers the whole object."""

    def __init__(self, url: str, storage: Storage) -> None:
        self.url = url.rstrip("/")
        self._scheme, _, self._root = self.url.partition("://")
        self._fs = _filesystem(self._scheme, storage)

    def read(self, key: str) -> bytes:
        try:
            for _ in range(READ_TRIES - 1):
                with contextlib.suppress(DamagedError):
                    return self._read_once(key)
            return self._read_once(key)
        except PermissionError:
            self.sizes("actionrec-probe/")  # is it this object, or have the credentials gone? the latter raises
            raise

    def _read_once(self, key: str) -> bytes:
        extra = {"max_concurrency": 1} if self._scheme == "s3" else {}
        return bytes(self._call(key, lambda path: self._fs.cat_file(path, **extra)))

    def put(self, key: str, data: bytes) -> None:
        with self._store_wide():
            self._call(key, lambda path: self._fs.pipe_file(path, data, **self._one_put()))

    def put_new(self, key: str, data: bytes) -> bool:
        with self._store_wide():
            try:
                self._call(key, lambda path: self._fs.pipe_file(path, data, mode="create", **self._one_put()))
            except FileExistsError:
                return self._lost_answer(key, data)
        return True

    def exists(self, key: str) -> bool:
        with self._store_wide():
            return bool(self._call(key, self._fs.exists))

    def sizes(self, prefix: str = "") -> dict[str, int | None]:
        return {key: int(info["size"] or 0) for key, info in self._found(prefix).items()}

    def versions(self, prefix: str) -> dict[str, str]:
        return {key: str([info.get(name) for name in VERSION]) for key, info in self._found(prefix).items()}

    def contents(self, prefix: str = "") -> dict[str, tuple[int | None, str | None]]:
        def version(info: dict[str, Any]) -> str:
            found = next((info[name] for name in CONTENT if info.get(name)), None)
            return str(found or [info.get(name) for name in VERSION]).strip('"')

        return {key: (int(info["size"] or 0), version(info)) for key, info in self._found(prefix).items()}

    def _found(self, prefix: str) -> dict[str, dict[str, Any]]:
        def find(path: str) -> dict[str, Any]:
            found: dict[str, Any] = self._fs.find(path, detail=True)
            return found

        with self._store_wide():
            found = self._call(prefix, find)
        start = len(self._root.strip("/")) + 1
        return {name.lstrip("/")[start:]: info for name, info in found.items()}

    def delete(self, prefix: str) -> None:
        keys = list(self.sizes(prefix)) if prefix.endswith("/") else [prefix] if self.exists(prefix) else []
        for key in keys:
            self._call(key, self._fs.rm_file)

    def _lost_answer(self, key: str, data: bytes) -> bool:
        """True if the object there is ours: a retried PUT whose first answer was lost finds its own object."""
        return self.read(key) == data

    def _one_put(self) -> dict[str, Any]:
        return {"chunksize": 4 * 2**30} if self._scheme == "s3" else {}

    def _call(self, key: str, action: Callable[[str], T]) -> T:
        """`action` on the full path, with the library's many kinds of failure told apart into three."""
        try:
            return action(f"{self._root}/{key}" if key else self._root)
        except FileNotFoundError as error:
            if "NoSuchBucket" in type(error.__cause__).__name__:
                raise self._no_bucket() from None
            raise
        except (FileExistsError, PermissionError, ActionrecError):
            raise
        except Exception as error:  # noqa: BLE001 - each library behind fsspec raises its own kinds
            if _precondition_failed(error):
                raise FileExistsError(key) from None
            if "Checksum" in type(error).__name__:
                raise DamagedError(f"{self.url}/{key}: damaged on its way ({_reason(error)})") from None
            if "NoCredentials" in type(error).__name__:
                raise PermissionError("no credentials are set") from None
            raise ActionrecError(
                f"{self.url}/{key}: the store does not answer as it should ({_reason(error)})"
            ) from None

    @contextlib.contextmanager
    def _store_wide(self) -> Iterator[None]:
        """Around what fails for every key alike: no bucket, no access."""
        try:
            yield
        except FileNotFoundError:
            raise self._no_bucket() from None
        except PermissionError as error:
            raise InputError(
                f"{self.url}: access is refused ({_reason(error)}); check the credentials in the environment"
            ) from None

    def _no_bucket(self) -> InputError:
        bucket = self._root.split("/")[0]
        return InputError(f"{self.url}: there is no bucket {bucket}; create it or correct the URL")


def _filesystem(scheme: str, storage: Storage) -> Any:
    import fsspec

    if scheme != "s3":
        return fsspec.filesystem(scheme, skip_instance_cache=scheme != "memory")
    s3 = fsspec.filesystem(
        "s3",
        endpoint_url=storage.endpoint_url or os.environ.get("AWS_ENDPOINT_URL"),
        use_listings_cache=False,
        skip_instance_cache=True,
        default_fill_cache=False,
        # One layer repeats, or each layer's repeats multiply those of the other.
        config_kwargs={"connect_timeout": 2, "read_timeout": 20, "retries": {"total_max_attempts": 1}},
    )
    s3.retries = TRIES
    return s3


def _precondition_failed(error: BaseException) -> bool:
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in ("PreconditionFailed", "412", "ConditionalRequestConflict")


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
