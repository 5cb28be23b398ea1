"""A pass over parts: rows of parts mapped over one class of Ray actors, watched by a board, each part to its end."""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol, cast

import ray
from ray import cloudpickle

from actionrec.cluster.actor import _Actor
from actionrec.cluster.board import Board, Poll, beside_the_driver, why
from actionrec.cluster.session import Cluster, cores
from actionrec.cluster.watcher import Watcher
from actionrec.config import Config
from actionrec.errors import ActionrecError, InputError


class Worker(Protocol):
    """Lives in an actor. Constructed as worker_class(job, device)."""

    def run(self, part: int, items: Sequence[Any], watcher: Watcher) -> bytes | None:
        """Do one part. What is returned, if anything, reaches the driver."""


def map_parts(
    worker_class: Callable[[Any, str], Worker],
    job: Any,
    todo: Mapping[int, Sequence[Any]],
    config: Config,
    cluster: Cluster,
    *,
    actor_bytes: int,
    report: Callable[[int, int], None],
) -> dict[int, bytes]:
    """Run every part of `todo` (part -> its items) and return what the workers returned, by part.

    `report` is told how many items are done and how many of them failed. Raises ActionrecError where a worker, the
    store or Ray gives out; what was committed stays.
    """
    import ray.data  # half a second, and finished work has no pass

    on_gpu, actors = _pool(config, cluster, actor_bytes)
    size = min(len(todo), actors)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours says more
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a part may take hours; each video has its own limit
    board = Board.options(scheduling_strategy=beside_the_driver()).remote()  # type: ignore[attr-defined]
    rows = [{"part": part, "items": list(items)} for part, items in sorted(todo.items())]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Actor,  # type: ignore[arg-type]  # Ray's stubs know functions only
        fn_constructor_args=(cloudpickle.dumps((worker_class, job)), board, "cuda" if on_gpu else "cpu"),
        compute=ray.data.ActorPoolStrategy(size=size),
        # A GPU actor claims no CPU; CPU actors leave one to Ray Data's own tasks, which would else wait for ever.
        num_cpus=0 if on_gpu else min(1.0, cluster.cpus / (size + 1)),
        num_gpus=1 if on_gpu else None,
    )
    returned: dict[int, bytes] = {}
    with Poll(board, report):
        try:
            with contextlib.closing(cast("Generator[dict[str, Any]]", iter(dataset.iter_rows()))) as receipts:
                for receipt in receipts:
                    if receipt["error"]:
                        raise (InputError if receipt["bad_input"] else ActionrecError)(receipt["error"])
                    returned[receipt["part"]] = receipt["returned"]
        except ray.exceptions.RayError as error:
            raise ActionrecError(f"a worker failed: {why(error)}; run again to go on") from None
    return returned


def _pool(config: Config, cluster: Cluster, actor_bytes: int) -> tuple[bool, int]:
    """Whether actors take a GPU each, and how many of them there are to be."""
    wanted = config.extract
    on_gpu = wanted.device == "cuda" or (wanted.device == "auto" and cluster.gpus >= 1)
    actors = wanted.actors or (int(cluster.gpus) if on_gpu else _cpu_actors(config, cluster, actor_bytes))
    if actors == 0 or (not on_gpu and cluster.cpus == 0):
        kind = "GPUs" if on_gpu else "CPUs"
        raise InputError(
            f"the cluster has no {kind} now; wait for its workers, or have the autoscaler bring them: "
            "--set extract.device=cuda --set extract.actors=N"
        )
    return on_gpu, actors


def _cpu_actors(config: Config, cluster: Cluster, actor_bytes: int) -> int:
    """One per `extract.threads` cores, as far as memory goes. A local session counts real cores, not logical ones."""
    real = cluster.cpus if len(ray.nodes()) > 1 else min(cluster.cpus, cores())
    by_memory = cluster.memory_bytes / actor_bytes if cluster.memory_bytes else real
    return max(1, int(min(real / config.extract.threads, by_memory)))
