"""The board counts videos across workers while they run, and remembers what workers were at when they died.

It lives with the driver: a node that comes and goes takes no board with it. One that is lost all the same starts again
with nothing counted, so deaths are bounded from there.
"""

import collections
import contextlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actionrec.cluster.meters import Meters
from actionrec.cluster.watcher import CRASHES, Watcher
from actionrec.errors import ActionrecError

POLL_S = 0.5
LOADS = 3  # a worker that has died this often in a row while it loaded its networks is not started again
IN_A_ROW = 3  # videos at which one worker died, with none finished between: the place where it runs is at fault
ANSWER_S = 30.0  # to wait for an answer that can be done without
LOG_BYTES = 2**16
_DIED = re.compile(
    r"^\s*pid: (?P<pid>\d+)\n(.*\n){0,3}?\s*ip: (?P<node>\S+)\n\s*The actor is dead because its worker process", re.M
)


def beside_the_driver() -> NodeAffinitySchedulingStrategy:
    """Where an actor belongs that lasts as long as the driver: on its node."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


class Start(NamedTuple):
    """One start of a worker, which loads its networks."""

    place: str
    log: str  # the file that its stderr goes to, on its node
    words: str = ""  # its last


class Starts:
    """The starts of workers that have not come to their work yet, by worker. A worker that Ray restarts is the same."""

    def __init__(self) -> None:
        self._of: dict[str, list[Start]] = {}

    def loading(self, worker: str, start: Start) -> list[Start]:
        """Returns the starts that ended before this one, since the worker worked last."""
        self._of.setdefault(worker, []).append(start)
        return self._of[worker][:-1]

    def loaded(self, worker: str) -> None:
        self._of.pop(worker, None)

    def died(self) -> list[Start]:
        """The starts of the worker that tells most of how it ended; none where all came to their work."""
        return max(self._of.values(), key=lambda starts: (bool(starts[-1].words), len(starts)), default=[])

    def said(self, worker: str, words: str) -> bool:
        """The last words of a worker. False where it is past its loading."""
        if worker not in self._of:
            return False
        self._of[worker][-1] = self._of[worker][-1]._replace(words=words)
        return True


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Board:
    """Counts videos across workers, and remembers which video a worker was at when it died."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}
        self._parts: collections.Counter[int] = collections.Counter()
        self._begun: collections.Counter[tuple[int, str]] = collections.Counter()
        self._said: dict[tuple[int, str], str] = {}
        self._in_a_row: dict[str, set[tuple[int, str]]] = {}
        self._starts = Starts()

    def loading(self, worker: str, start: Start) -> list[Start]:
        return self._starts.loading(worker, start)

    def loaded(self, worker: str) -> None:
        self._starts.loaded(worker)

    def begin(self, part: int) -> int:
        """Returns how often the part was begun before."""
        self._counts[part] = [0, 0]  # a part that is computed again after a crash is counted again
        self._parts[part] += 1
        return self._parts[part] - 1

    def starting(self, part: int, video_id: str) -> int:
        self._begun[part, video_id] = min(self._begun[part, video_id] + 1, CRASHES + 1)
        return self._begun[part, video_id] - 1

    def finished(self, part: int, video_id: str, failed: bool, worker: str = "") -> None:
        if not failed or self._begun[part, video_id] <= CRASHES:  # who was given up stays so, when its part comes again
            self._begun.pop((part, video_id), None)
        if not failed:
            self._in_a_row.pop(worker, None)
        counts = self._counts.setdefault(part, [0, 0])
        counts[0] += 1
        counts[1] += failed

    def said(self, worker: str, part: int, video_id: str, words: str) -> int:
        """The last words of a worker. Returns at how many videos in a row it had such."""
        if self._starts.said(worker, words):
            return 0
        self._said[part, video_id] = words
        row = self._in_a_row.setdefault(worker, set())
        row.add((part, video_id or f"between videos, {len(row)}"))
        return len(row)

    def last_words(self, part: int, video_id: str) -> str:
        return self._said.get((part, video_id), "")

    def totals(self) -> tuple[int, int]:
        return sum(c[0] for c in self._counts.values()), sum(c[1] for c in self._counts.values())


class BoardWatcher(Watcher):
    """A worker's side of the board."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._worker, self.place = ray.get_runtime_context().get_actor_id() or "", place()
        self._part, self._video_id = -1, ""
        self._meters = Meters()

    def loading(self) -> None:
        """The networks are about to be loaded. ActionrecError where that has ended this worker too often."""
        died = ray.get(self._board.loading.remote(self._worker, Start(self.place, log())))
        if len(died) >= LOADS:
            raise ActionrecError(died_loading(died))

    def loaded(self) -> None:
        ray.get(self._board.loaded.remote(self._worker))

    def begin(self, part: int, videos: int) -> int:
        self._part, self._video_id = part, ""
        deaths: int = ray.get(self._board.begin.remote(part))
        if deaths > CRASHES * (videos + 1):  # each video may have its own; more is no video's fault
            told = f"part {part} has ended its worker {deaths} times, last on {self.place}"
            words = self.last_words(part, "")
            raise ActionrecError(": ".join(filter(None, [told, words])) + "; look at the machine, then run again")
        return deaths

    def starting(self, part: int, video_id: str) -> int:
        self._video_id = video_id
        crashes: int = ray.get(self._board.starting.remote(part, video_id))
        return crashes

    def last_words(self, part: int, video_id: str) -> str:
        words: str = ray.get(self._board.last_words.remote(part, video_id))
        return words

    def finished(self, part: int, video_id: str, failed: bool) -> None:
        self._video_id = ""
        self._board.finished.remote(part, video_id, failed, self._worker)

    def measured(self, seconds: Mapping[str, float], reasons: Mapping[str, str]) -> None:
        self._meters.video(seconds, reasons)

    def ending(self, words: str) -> None:
        """This process is about to end. ActionrecError where it did so at too many videos, one after another."""
        with contextlib.suppress(ray.exceptions.RayError):  # who has lost the board dies without words
            said = self._board.said.remote(self._worker, self._part, self._video_id, words)
            if ray.get(said, timeout=ANSWER_S) >= IN_A_ROW:
                raise ActionrecError(
                    f"{self.place}: {IN_A_ROW} videos in a row ended their worker, last: {words}; "
                    "look at the machine, then run again"
                )


def place() -> str:
    """The node, and the GPU where it is one, that this worker runs on, for a person."""
    gpus = ", ".join(map(str, ray.get_gpu_ids()))
    return f"node {ray.util.get_node_ip_address()}" + (f" (GPU {gpus})" if gpus else "")


def log() -> str:
    """The file that Ray lets this process's stderr go to; empty where that cannot be told."""
    try:
        return os.readlink("/proc/self/fd/2")
    except OSError:
        return ""


def died_loading(died: list[Start]) -> str:
    """The sentence on a worker that has died so often while it loaded its networks, each time there."""
    places = ", ".join(dict.fromkeys(start.place for start in died))
    words = (
        died[-1].words or _last_line(died[-1].log) or "it ended without a word, as one killed for want of memory does"
    )
    return (
        f"a worker died {len(died)} times while it loaded its networks, on {places}; the last time: {words}; "
        "look at the machine, then run again"
    )


def why(error: BaseException) -> str:
    """What Ray's report of a failure comes to, in a line: where a process died, or the last line of its traceback."""
    text = str(error)
    if died := _DIED.search(text):
        return f"a process died on node {died['node']} (pid {died['pid']}), as one that crashes or is killed does"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


def _last_line(path: str) -> str:
    """What a process that was here before said last: of a crash the line that names it, not the trace below it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(":")]  # Ray's own marks
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    return (fatal or lines or [""])[-1][:300]


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
