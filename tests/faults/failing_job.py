"""A command `fail KIND` of the real command line: a session of Ray whose work fails in the way that KIND names."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import ray.data

from actionrec import cli, config
from actionrec.cluster import passes
from actionrec.cluster.session import Cluster, session
from actionrec.errors import ActionrecError, InputError
from actionrec.extraction.part import Watcher
from actionrec.storage.samples import Sample
from actionrec.training.batches import Arrays, BatchPlan
from actionrec.training.ray_batches import RayData

ROWS, FAILS_AT = 40, 5
HELD: list[object] = []  # what is never closed, as by a variable or a traceback


class Worker:
    """Defined in __main__, so that it travels to the workers by value."""

    def __init__(self, job: str, device: str) -> None:
        self._kind = job
        if job == "loading raises":
            raise ValueError("planted, two\nlines")
        if job == "loading exits":
            sys.exit(0)

    def run(self, part: int, items: Sequence[Any], watcher: Watcher) -> bytes:
        time.sleep(0.02)
        if part == FAILS_AT and self._kind == "worker raises":
            raise RuntimeError("planted in a worker")
        if part == FAILS_AT and self._kind == "worker refuses":
            raise InputError("planted: a worker refuses its input")
        return bytes(200_000)


class Loader:
    drop_ragged = False

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[Any]:
        return [np.zeros(50_000, np.float32) for _ in samples]

    def collate(self, items: Sequence[Any]) -> Arrays:
        return {"item": np.stack(items)}

    def inputs(self, tensors: Any) -> tuple[Any, ...]:
        return (tensors["item"],)


def a_pass(kind: str, cluster: Cluster, told: Callable[[], None] = lambda: None) -> None:
    todo = {part: [part] for part in range(ROWS)}
    settings = config.load([{"extract": {"actors": 2, "device": "cpu"}}])
    passes.map_parts(Worker, kind, todo, settings, cluster, actor_bytes=1, report=lambda done, failed: told())
    raise AssertionError("the pass ended by itself")


def a_signalled_pass(number: signal.Signals, cluster: Cluster) -> None:
    """The signal comes while rows are on their way, and again: Ray Data's own code can swallow one as it starts."""
    begun_s = time.monotonic()

    def told() -> None:
        if time.monotonic() - begun_s > 1:
            os.kill(os.getpid(), number)

    a_pass("goes on for ever", cluster, told)


def an_abandoned_iterator(cluster: Cluster) -> None:
    rows = [{"part": part} for part in range(ROWS)]
    dataset = ray.data.from_items(rows, override_num_blocks=ROWS).map(lambda row: row | {"filler": bytes(200_000)})
    iterator = iter(dataset.iter_batches(batch_size=1, prefetch_batches=4))
    HELD.append(iterator)
    for _ in range(FAILS_AT):
        next(iterator)
    raise ActionrecError("planted: the rows are no longer wanted")


def a_failing_consumer(cluster: Cluster) -> None:
    samples = [Sample(str(number), number // 5, "train", 0) for number in range(400)]
    data = RayData(BatchPlan(Loader(), samples, samples[:8], 0, 8, 2), 3, "cpu", 2)
    HELD.append(data)
    for step, _ in enumerate(data.training(0)):
        if step == FAILS_AT:
            raise ActionrecError("planted: a training step fails")


KINDS: dict[str, tuple[Callable[[Cluster], None], int, str]] = {  # what fails, the exit code, what the sentence says
    "raise": (
        lambda cluster: a_pass("worker raises", cluster),
        1,
        "RuntimeError: planted in a worker; its log has more: /",
    ),
    "load": (
        lambda cluster: a_pass("loading raises", cluster),
        1,
        "ValueError: planted, two lines; its log has more: /",
    ),
    "exit": (lambda cluster: a_pass("loading exits", cluster), 1, "SystemExit: 0; its log has more: /"),
    "refuse": (lambda cluster: a_pass("worker refuses", cluster), 2, "planted: a worker refuses its input"),
    "abandon": (an_abandoned_iterator, 1, "planted: the rows are no longer wanted"),
    "ctrl-c": (lambda cluster: a_signalled_pass(signal.SIGINT, cluster), 130, "interrupted; "),
    "sigterm": (lambda cluster: a_signalled_pass(signal.SIGTERM, cluster), 143, "interrupted; "),
    "consume": (a_failing_consumer, 1, "planted: a training step fails"),
}


@cli.app.command()
def fail(kind: str) -> None:
    with session() as cluster:
        KINDS[kind][0](cluster)


if __name__ == "__main__":
    cli.main(["fail", *sys.argv[1:]])
