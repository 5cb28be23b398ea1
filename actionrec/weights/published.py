"""Published weights: where they come from, and a cache in which each file is held to its publisher's hash.

A file is used only when (1) its sha256 begins with what its publisher states, in the file's name or in the hub's
metadata, and (2) its whole sha256 equals the one recorded beside it when it was first seen. Files that hold pickles are
opened only after that, and then as plain tensors; from timm's hub only safetensors are taken.

The cache is $ACTIONREC_CACHE, or ~/.cache/actionrec/weights. Without a network, put the files there by hand.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pickle
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import torch

from actionrec.errors import InputError
from actionrec.patience import patiently

TIMEOUT_S = 10  # per address of a host, and hosts seldom have more than two
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")  # the convention of torch.hub: name-HASH.pth

CacheState = Literal["cached", "reachable", "missing"]
Fetch = Callable[[str, Path], None]


@dataclass(frozen=True)
class PublishedFile:
    """One published file. `sha256` is the publisher's hash, or its first digits; None: the hub's metadata has it."""

    stream: str  # the config's section: its `weights: random` is the remedy where the file cannot be had
    file_name: str  # in the cache
    url: str
    sha256: str | None


def url_source(stream: str, url: str) -> PublishedFile:
    """A file whose name ends in its hash. InputError for one that does not: nothing would vouch for its content."""
    file_name = urlsplit(url).path.rpartition("/")[2]
    found = HASH_IN_NAME.search(file_name)
    if not found:
        raise InputError(f"{stream}.weights: {file_name} is published without a hash; choose another model, or random")
    return PublishedFile(stream, file_name, url, found.group(1))


def hub_source(stream: str, repository: str, file_name: str | None = None) -> PublishedFile:
    """The safetensors file of a repository on the hub timm uses, in place of `file_name` where that is a pickle."""
    from huggingface_hub import hf_hub_url

    name = (file_name or "model.safetensors").replace("pytorch_model.bin", "model.safetensors")
    if not name.endswith(".safetensors"):
        raise InputError(f"{stream}.weights: {repository} publishes no safetensors; choose another model, or random")
    url = hf_hub_url(repository, name)
    return PublishedFile(stream, f"{repository.replace('/', '--')}.safetensors", url, None)


def download(url: str, path: Path) -> None:
    """One GET of `url` into `path`. Raises OSError or HTTPException."""
    request = urllib.request.Request(url, headers={"User-Agent": "actionrec"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file, 2**20)
        missing = int(response.headers.get("Content-Length") or file.tell()) - file.tell()
        if missing > 0:  # read in pieces, a body that was cut off ends like a whole one
            raise http.client.HTTPException(f"its last {missing} bytes did not come")


def obtain(source: PublishedFile, fetch: Fetch = download) -> Path:
    """The file's place in the cache, downloaded if it was not there, and verified in any case.

    Errors of the site that pass are waited for. Where nothing is reached at all there is no network: that ends at once.
    Raises InputError: the file can neither be found nor fetched, or it is not what was published. Then it is removed.
    """
    path = cache_path(source)
    with _cache_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _download_verified(source, path, fetch)
        _hold_to_record(path, source)
    return path


def state(source: PublishedFile) -> CacheState:
    """Where the file could be had from, found out without downloading it (for `actionrec doctor`)."""
    if cache_path(source).exists():
        return "cached"
    request = urllib.request.Request(source.url, method="HEAD", headers={"User-Agent": "actionrec"})
    try:
        with patiently(lambda: urllib.request.urlopen(request, timeout=TIMEOUT_S)):
            return "reachable"
    except (OSError, http.client.HTTPException):
        return "missing"


def cache_path(source: PublishedFile) -> Path:
    folder = os.environ.get("ACTIONREC_CACHE")
    return (Path(folder) if folder else Path("~/.cache/actionrec/weights").expanduser()) / source.file_name


def load_plain(path: Path) -> dict[str, Any]:
    """What a verified .pth or .ckpt holds, if that is tensors and plain values. Nothing in it is ever executed."""
    try:
        with torch.serialization.safe_globals(_numpy_names()):
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path}: not a file of plain tensors, so it is not used ({reason})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a file of named tensors, so it is not used")
    return content


def _numpy_names() -> list[Any]:
    """What rebuilds a numpy array of numbers, as older files hold them; under numpy 1's name too."""
    rebuild: Any = np.zeros(1).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64)]
    return [rebuild, (rebuild, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, *dtypes]


def _download_verified(source: PublishedFile, path: Path, fetch: Fetch) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _network_errors(source, path):
            published = source.sha256 or _hub_sha256(source.url)
            patiently(lambda: fetch(source.url, partial))
        digest = sha256_of(partial)
        if not digest.startswith(published):
            raise InputError(
                f"{source.file_name}: the download is damaged or is not the published file (its sha256 is "
                f"{digest[:16]}..., the publisher's begins with {published[:16]}); it was removed, so run again"
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _hold_to_record(path: Path, source: PublishedFile) -> None:
    """Compare the file with the publisher's digits and with the hash recorded at first sight; record it if new."""
    digest = sha256_of(path)
    record = path.with_name(f"{path.name}.json")
    recorded = _recorded_sha256(record) if record.exists() else digest
    if digest != recorded or not digest.startswith(source.sha256 or ""):
        path.unlink()
        raise InputError(
            f"{path}: the file is not the one published (its sha256 is {digest[:16]}..., it should be "
            f"{(recorded if digest != recorded else source.sha256 or '')[:16]}...); it was removed, so run again"
        )
    if not record.exists():
        partial = record.with_name(f".{record.name}.{os.getpid()}.tmp")
        partial.write_text(json.dumps({"sha256": digest, "url": source.url, "bytes": path.stat().st_size}, indent=1))
        os.replace(partial, record)


def _recorded_sha256(record: Path) -> str:
    try:
        return str(json.loads(record.read_text())["sha256"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{record}: not a record of weights; delete it and its file, and run again") from None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hub_sha256(url: str) -> str:
    """The hub's own sha256 of a large file. OSError if the hub does not say."""
    from huggingface_hub import get_hf_file_metadata

    try:
        etag = patiently(lambda: get_hf_file_metadata(url, timeout=TIMEOUT_S)).etag or ""
    except Exception as error:  # the hub's client raises its HTTP library's errors, which share no base
        raise OSError(str(error)) from error
    if not re.fullmatch("[0-9a-f]{64}", etag):
        raise OSError("the hub states no sha256 for the file")
    return etag


@contextlib.contextmanager
def _network_errors(source: PublishedFile, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{source.file_name}: cannot be downloaded from {urlsplit(source.url).hostname} ({reason}); "
            f"put the file at {path}, or use --set {source.stream}.weights=random"
        ) from None


@contextlib.contextmanager
def _cache_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path.parent}: the cache of weights cannot be used ({error.strerror or error}); "
            "set ACTIONREC_CACHE to a folder that can be written"
        ) from None
