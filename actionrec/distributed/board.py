"""The board counts videos across workers while they run, and remembers which video a worker was at when it died."""

import collections
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import ray

from actionrec.distributed.part import CRASHES, Watcher
from actionrec.errors import ActionrecError

POLL_S = 0.5


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Board:
    """Counts videos across workers, and remembers which video a worker was at when it died."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}
        self._parts: collections.Counter[int] = collections.Counter()
        self._begun: collections.Counter[tuple[int, str]] = collections.Counter()

    def begin(self, part: int) -> int:
        """Returns how often the part was begun before."""
        self._counts[part] = [0, 0]  # a part that is computed again after a crash is counted again
        self._parts[part] += 1
        return self._parts[part] - 1

    def starting(self, part: int, video_id: str) -> int:
        self._begun[part, video_id] += 1
        return self._begun[part, video_id] - 1

    def finished(self, part: int, video_id: str, failed: bool) -> None:
        self._begun.pop((part, video_id), None)
        counts = self._counts.setdefault(part, [0, 0])
        counts[0] += 1
        counts[1] += failed

    def totals(self) -> tuple[int, int]:
        return sum(c[0] for c in self._counts.values()), sum(c[1] for c in self._counts.values())


class BoardWatcher(Watcher):
    """A worker's side of the board."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def begin(self, part: int, videos: int) -> None:
        deaths: int = ray.get(self._board.begin.remote(part))
        if deaths > CRASHES * (videos + 1):  # each video may have its own; more is no video's fault
            raise ActionrecError(
                f"part {part} has ended its worker {deaths} times; look at the machine, then run again"
            )

    def starting(self, part: int, video_id: str) -> int:
        crashes: int = ray.get(self._board.starting.remote(part, video_id))
        return crashes

    def finished(self, part: int, video_id: str, failed: bool) -> None:
        self._board.finished.remote(part, video_id, failed)


class Poll:
    """Asks the board for its totals in the background, for as long as the block runs, and once at its end."""

    def __init__(self, board: Any, report: Callable[..., None]) -> None:
        self._board, self._report = board, report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while True:
            stopping = self._stop.wait(POLL_S)
            with contextlib.suppress(ray.exceptions.RayError):  # the display waits; the work does not
                if totals := ray.get(self._board.totals.remote(), timeout=5):  # a ledger has none before its first
                    self._report(*totals)
            if stopping:
                return
