"""Ray Tune as this project uses it: many small trials packed on cores or GPUs, in processes that are used again.

Each trial stores by itself what it came to. Ray's own experiment state is a pickle and is not used to go on from; see
docs/decisions/0020-sweep.md.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from actionrec.config import Config
from actionrec.distributed.session import Cluster, cores
from actionrec.errors import InputError

TRIAL, NOTE = "trial", "note"  # a trial's number in its settings; what it reports of itself for people to read


@dataclass(frozen=True)
class Progress:
    """Where the trials stand."""

    done: int
    trials: int
    failed: int
    last: str  # what the trial that reported last has come to


Listener = Callable[[Progress], None]


def run_packed(
    function: Callable[..., None],
    names: Sequence[str],
    cluster: Cluster,
    config: Config,
    on_progress: Listener,
    *,
    gpus: float = 0.0,
    scheduler: ASHAScheduler | None = None,
    shared: Mapping[str, Any],
) -> dict[int, Any]:
    """Call function({"trial": i}, **shared) for each of `names`; Ray Tune's result of each, by its number.

    What is shared lies once in each node's memory. A trial that dies is begun again up to tune.max_failures times.
    """
    at_once = config.tune.trials or _at_once(cluster, gpus)
    share = min(1.0, cluster.cpus / (2 * at_once)) if cluster.cpus else 1.0
    trainable = tune.with_resources(
        tune.with_parameters(function, **shared), {"cpu": share, **({"gpu": gpus} if gpus else {})}
    )
    with tempfile.TemporaryDirectory(prefix="actionrec-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={TRIAL: tune.grid_search(list(range(len(names))))},
            tune_config=tune.TuneConfig(
                metric="val_loss" if scheduler else None,
                mode="min" if scheduler else None,
                scheduler=scheduler,
                max_concurrent_trials=at_once,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=config.tune.max_failures),
                callbacks=[_Watch(names, on_progress)],
                verbose=0,
            ),
        )
        results = tuner.fit()
    return {(results[place].config or {})[TRIAL]: results[place] for place in range(len(results))}


def gpu_share(config: Config, cluster: Cluster) -> float:
    """How much of a GPU a trial gets, 0 on a CPU. InputError where a GPU is asked for and none is there."""
    on_gpu = cluster.gpus > 0 and config.train.device != "cpu"
    if config.train.device == "cuda" and not on_gpu:
        raise InputError("the cluster has no GPUs now; wait for its workers, or set train.device=cpu")
    return config.tune.gpus if on_gpu else 0.0


def _at_once(cluster: Cluster, gpus: float) -> int:
    if gpus:
        return max(1, int(cluster.gpus / gpus))
    return cores() if len(ray.nodes()) == 1 else max(1, int(cluster.cpus))


class _Watch(tune.Callback):
    """Tells the driver's listener how far the sweep is, at most once a second."""

    def __init__(self, names: Sequence[str], on_progress: Listener) -> None:
        self._names, self._on_progress = names, on_progress
        self._done = self._failed = 0
        self._last, self._told_s = "", 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles callbacks into an experiment state that nobody reads; a terminal's locks cannot be

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if NOTE in result:
            self._last = f"{self._names[trial.config[TRIAL]]}: {result[NOTE]}"
        if time.monotonic() - self._told_s >= 1:
            self._tell()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._done += 1
        self._tell()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._failed += 1
        self._tell()

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        self._on_progress(Progress(self._done, len(self._names), self._failed, self._last))
