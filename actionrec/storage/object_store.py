"""A prefix of a bucket as a store, through fsspec: S3 and what speaks like it, Google Cloud Storage, Azure."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from actionrec.config import Storage
from actionrec.errors import ActionrecError, DamagedError, GoneError, InputError
from actionrec.patience import NoAnswerError, answer_to, is_damage, patiently
from actionrec.storage import server

T = TypeVar("T")
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
    """A prefix of a bucket. Reads are one GET each, so that the store's checksum covers the whole object.

    What passes is asked again: of S3 here, request by request; Google's and Azure's libraries do so themselves.
    """

    def __init__(self, url: str, storage: Storage) -> None:
        self.url = url.rstrip("/")
        self._scheme, _, self._root = self.url.partition("://")
        self._fs = _filesystem(self._scheme, storage)
        self._hint = server.hint(storage) if self._scheme == "s3" else ""

    def read(self, key: str) -> bytes:
        one_get = {"max_concurrency": 1} if self._scheme == "s3" else {}
        try:
            return bytes(self._call(key, lambda path: self._fs.cat_file(path, **one_get)))
        except PermissionError:
            self.sizes("actionrec-probe/")  # is it this object, or have the credentials gone? the latter raises
            raise

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

    def size(self, key: str) -> int | None:
        try:
            info = self._call(key, self._fs.info)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise self._refused(error) from None
        return int(info["size"] or 0) if info["type"] == "file" else None

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

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
        with self._store_wide():
            if self._scheme == "s3":
                return {info["Key"]: info for page in self._pages(prefix) for info in page}
            found = self._call(prefix, lambda path: self._fs.find(path, detail=True))
        start = len(self._root.strip("/")) + 1
        return {name.lstrip("/")[start:]: info for name, info in found.items()}

    def _pages(self, prefix: str) -> Iterator[list[dict[str, Any]]]:
        """What S3 lists, keys relative to the root. An error costs its page again, not all pages before it."""
        bucket, _, folder = self._root.partition("/")
        start = f"{folder}/" if folder else ""
        request = {"Bucket": bucket, "Prefix": start + prefix}
        while True:
            page = self._page(prefix, request)
            # Consoles store an empty object "folder/" for a folder that somebody makes there: it is no file.
            found = [info for info in page.get("Contents", ()) if not info["Key"].endswith("/")]
            yield [{**info, "Key": info["Key"].removeprefix(start), "size": info["Size"]} for info in found]
            if page.get("IsTruncated") is False:
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _page(self, prefix: str, request: dict[str, str]) -> dict[str, Any]:
        def ask(_: str) -> dict[str, Any]:
            page: dict[str, Any] = self._fs.call_s3("list_objects_v2", **request)
            if page.get("IsTruncated") is not False and "NextContinuationToken" not in page:
                # An empty body, or a balancer's page that calls itself a success, would be a listing of nothing.
                raise NoAnswerError("a listing that does not say whether it is whole")
            return page

        return self._call(prefix, ask)

    def delete(self, prefix: str) -> None:
        keys = list(self.sizes(prefix)) if prefix.endswith("/") else [prefix] if self.exists(prefix) else []
        for key in keys:
            with self._store_wide(), contextlib.suppress(FileNotFoundError):  # somebody else, or our lost answer, did
                self._call(key, self._fs.rm_file)

    def _lost_answer(self, key: str, data: bytes) -> bool:
        """True if the object there is ours: a retried PUT whose first answer was lost finds its own object."""
        try:
            return self.read(key) == data
        except FileNotFoundError:
            raise ActionrecError(
                f"{self.url}/{key}: was there and is gone, so somebody else deletes here; run again when that has ended"
            ) from None

    def _one_put(self) -> dict[str, Any]:
        return {"chunksize": 4 * 2**30} if self._scheme == "s3" else {}

    def _call(self, key: str, action: Callable[[str], T]) -> T:
        """`action` on the full path, with the library's many kinds of failure told apart into three."""
        path = f"{self._root}/{key}" if key else self._root
        try:
            return patiently(lambda: action(path)) if self._scheme == "s3" else action(path)
        except FileNotFoundError as error:
            if "NoSuchBucket" in type(error.__cause__).__name__:
                raise self._no_bucket() from None
            raise
        except (FileExistsError, PermissionError, ActionrecError):
            raise
        except Exception as error:  # noqa: BLE001 - each library behind fsspec raises its own kinds
            if (answer := answer_to(error)) and answer.status == 412:
                raise FileExistsError(key) from None
            if is_damage(error):
                raise DamagedError(f"{self.url}/{key}: damaged on its way ({_reason(error)})") from None
            if "NoCredentials" in type(error).__name__:
                raise PermissionError("no credentials are set") from None
            raise ActionrecError(
                f"{self.url}/{key}: the store does not answer as it should ({_reason(error)}); "
                "check its endpoint, or run again when it does"
            ) from None

    @contextlib.contextmanager
    def _store_wide(self) -> Iterator[None]:
        """Around what fails for every key alike: no bucket, no access."""
        try:
            yield
        except FileNotFoundError:
            raise self._no_bucket() from None
        except PermissionError as error:
            raise self._refused(error) from None

    def _refused(self, error: PermissionError) -> InputError:
        return InputError(
            f"{self.url}: access is refused ({_reason(error)}); check the credentials in the environment{self._hint}"
        )

    def _no_bucket(self) -> GoneError:
        bucket = self._root.split("/")[0]
        return GoneError(f"{self.url}: there is no bucket {bucket}; create it or correct the URL{self._hint}")


def _filesystem(scheme: str, storage: Storage) -> Any:
    import fsspec

    if scheme != "s3":
        return fsspec.filesystem(scheme, skip_instance_cache=scheme != "memory")
    s3 = fsspec.filesystem(
        "s3",
        endpoint_url=server.chosen(storage),
        use_listings_cache=False,
        skip_instance_cache=True,
        default_fill_cache=False,
        # `patiently` repeats, and neither botocore nor s3fs: each layer's repeats would multiply those of the other.
        config_kwargs={"connect_timeout": 2, "read_timeout": 20, "retries": {"total_max_attempts": 1}},
    )
    s3.retries = 1
    return s3


def _reason(error: BaseException) -> str:
    if answer := answer_to(error):
        name, said = f"HTTP {answer.status} {answer.code}".strip(), answer.message
    else:
        name, said = type(error).__name__, str(error)
    text = " ".join(said.split())[:300]
    return f"{name}: {text}" if text else name
