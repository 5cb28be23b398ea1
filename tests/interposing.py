"""What another process does, or a kill, before each write and each deletion of a local store."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actionrec.errors import ActionrecError
from actionrec.storage.local_store import LocalStore


class Cut:
    """Ends whoever writes or deletes for the n-th time, and whatever that one would do after it."""

    def __init__(self, after: int) -> None:
        self.left, self._lock = after, threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.left -= 1
            if self.left < 0:
                raise ActionrecError("cut off")


class Once:
    """Acts before the n-th write or deletion, counted from 0; what it does itself is not counted."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self._countdown, self._act = iter([False] * at + [True]), act
        self.acted = False

    def __call__(self) -> None:
        if next(self._countdown, False):
            self.acted = True
            self._act()


@contextmanager
def before_each_change(act: Callable[[], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("put", "put_new", "delete"):
            original = getattr(LocalStore, name)

            def acting(store: LocalStore, *arguments: Any, original: Any = original) -> Any:
                act()
                return original(store, *arguments)

            patched.setattr(LocalStore, name, acting)
        yield
