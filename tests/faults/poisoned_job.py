"""jobs/extract.py whose workers die: POISON=always when the fourth video is computed, POISON=once after a commit,
POISON=between held up between two streams of a part."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from actionrec.cli import main
from actionrec.cluster.watcher import Watcher
from actionrec.extraction import extract
from actionrec.storage.layout import commit_mark
from tests.tiny_roots import clip_name

POISON = clip_name(6)


class HeldBack:
    """A store that keeps whoever stores anything of spatial waiting, to be killed."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, data: bytes) -> None:
        if "/spatial" in key:
            time.sleep(600)
        self._store.put(key, data)


class PoisonedWorker(extract.PartWorker):
    """Defined in __main__, so that it travels to the workers by value."""

    def _compute(self, making: Any, loaded: Any, given_up: Any) -> Any:
        result = super()._compute(making, loaded, given_up)
        if os.environ["POISON"] == "always" and loaded.video.video_id == POISON and result["spatial"].error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def run(self, part: int, items: Sequence[Mapping[str, Any]], watcher: Watcher) -> None:
        if os.environ.get("POISON") == "between":
            self._root = HeldBack(self._root)  # type: ignore[assignment]
        was_there = self._root.exists(commit_mark("audio", part))
        super().run(part, items, watcher)
        if os.environ["POISON"] == "once" and not was_there:
            os.kill(os.getpid(), signal.SIGKILL)  # Ray has heard nothing of it


if __name__ == "__main__":
    extract.PartWorker = PoisonedWorker  # type: ignore[misc]
    main(["extract", *sys.argv[1:]])
