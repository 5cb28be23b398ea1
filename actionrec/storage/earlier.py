"""Roots that an earlier release made, in which one stage made the streams of every decoded video: how they are known.

They lie as they were until `actionrec upgrade` has made roots of today's layout of them; every other verb refuses them.
"""

from typing import Any

from actionrec.errors import InputError
from actionrec.storage import layout, records
from actionrec.storage.store import Store

EXTRACT = "extract"  # made spatial, flow and audio together, and committed them by one mark a part
FINETUNE = "spatial"  # then fine-tuned the frame CNN; now it is the stream, and the fine-tuning a stage of its own name


def is_earlier(store: Store) -> bool:
    """Whether the root is such a root, or half upgraded. Takes one or two requests."""
    if store.exists(layout.stage(EXTRACT)):
        return True
    found = read(store, layout.stage(FINETUNE))
    return found is not None and found != {} and "format" not in found


def refuse(store: Store) -> None:
    """InputError where the root is to be upgraded first."""
    if is_earlier(store):
        raise InputError(
            f"{store.url}: an earlier release made this root; run `actionrec upgrade --root {store.url}`, "
            "which keeps every feature and model"
        )


def record(store: Store, key: str) -> dict[str, Any] | None:
    """The record that an earlier release wrote there; None where there is none. InputError: it is damaged."""
    found = read(store, key)
    if found == {}:
        raise InputError(f"{store.url}/{key}: damaged; restore it, or delete it to give up what that stage has made")
    return found if found and "format" not in found else None


def read(store: Store, key: str) -> dict[str, Any] | None:
    """A record of any release; empty where it is damaged, None where there is none."""
    try:
        return records.parsed(store.read(key)) or {}
    except FileNotFoundError:
        return None
