"""Which S3 server a run talks to, and so who gets its credentials: what the person says, never what a root says."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from actionrec import config as configuration
from actionrec.config import Config, Storage
from actionrec.errors import InputError

_CHOOSE = "--set storage.endpoint_url=URL or AWS_ENDPOINT_URL"


def chosen(storage: Storage) -> str | None:
    """The server that a run's own settings or its environment name; None: AWS, or what the AWS profile says."""
    own = (storage.endpoint_url, *(os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")))
    return next((url for url in own if url), None)


def hint(storage: Storage) -> str:
    """What to add to the error about a bucket that is not there or refused, where no server was named; else empty."""
    return "" if chosen(storage) else f", or name a server other than AWS by {_CHOOSE}"


def own_storage(layers: Sequence[Mapping[str, Any]], stored: Config | None, root_url: str) -> Storage:
    """The section `storage` as this command's own `layers` have it.

    InputError where the root names a server and neither command nor environment says which: a root may come from
    somebody else, and the server that is talked to learns the session's token.
    """
    own, said = configuration.load(layers).storage, _said(stored)
    if said is None:
        return own
    if _same(said, chosen(own)):
        return dataclasses.replace(own, endpoint_url=own.endpoint_url or said)  # the root need not be written again
    if chosen(own) is None and not any("endpoint_url" in layer.get("storage", {}) for layer in layers):
        raise InputError(
            f"{root_url}: its config.yaml names the server {_shown(said)} and this command names none; a root does not "
            f"decide where credentials go, so name your server again by {_CHOOSE}, "
            "or AWS by --set storage.endpoint_url=null"
        )
    return own


def differences(config: Config, stored: Config | None, root_url: str) -> list[str]:
    """The warning that a run talks to another server than the root says; empty if it does not."""
    said, used = _said(stored), chosen(config.storage)
    if said is None or _same(said, used):
        return []
    return [
        f"{root_url}: its config.yaml names the server {_shown(said)}, and this run talks to {_shown(used or 'AWS')}, "
        f"as {_CHOOSE} says"
    ]


def _said(stored: Config | None) -> str | None:
    return (stored.storage.endpoint_url or None) if stored else None


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.rstrip("/") == other.rstrip("/")


def _shown(url: str) -> str:
    """A URL from a file or the environment on one line, without what could be a secret before an @ in it."""
    scheme, separator, rest = url.rpartition("://")
    return repr(f"{scheme}{separator}{rest.rpartition('@')[2]}"[:200])
