"""history.jsonl of a model: its epochs as they come, a line each, for whoever looks on while it is trained.

An object store cannot append, so the small file is written whole each time: a kill leaves one that can be read, and a
training that goes on from a checkpoint has each epoch once. Nothing here reads it; what counts is history.json, which
is written with the finished model.
"""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from actionrec.learning.checkpoint import Epoch
from actionrec.storage.store import Store

EVERY_S = 2.0  # at most one write in so many seconds; the finished model has the last word


class Journal:
    """Of one training."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._written_s: float | None = None

    def __call__(self, history: Sequence[Epoch]) -> None:
        """All epochs so far. The first call writes, later ones where the last writing is some time ago."""
        now_s = time.monotonic()
        if self._written_s is None or now_s - self._written_s >= EVERY_S:
            self.end(history)
            self._written_s = now_s

    def end(self, history: Sequence[Epoch]) -> None:
        """All epochs that there will be."""
        self._store.put(self._key, lines([dataclasses.asdict(epoch) for epoch in history]))


def lines(history: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(epoch, ensure_ascii=False, allow_nan=False) + "\n" for epoch in history).encode()
