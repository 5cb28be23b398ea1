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

from actionrec.cluster.session import Cluster, cores
from actionrec.config import Config, Tune
from actionrec.errors import InputError

TRIAL, NOTE = "trial", "note"  # a trial's number in its settings; what it reports of itself for people to read


@dataclass(frozen=True)
class TrialsProgress:
    """Where the trials stand."""

    done: int
    trials: int
    failed: int
    last: str  # what the trial that reported last has come to


OnTrials = Callable[[TrialsProgress], None]


def run_trials(
    function: Callable[..., None],
    names: Sequence[str],
    cluster: Cluster,
    config: Config,
    on_progress: OnTrials,
    *,
    on_done: Callable[[int], None] = lambda number: None,
    gpus: float = 0.0,
    scheduler: ASHAScheduler | None = None,
    shared: Mapping[str, Any],
) -> dict[int, Any]:
    """Call function({"trial": i}, **shared) for each of `names`; Ray Tune's result of each, by its number.

    `on_done` is told the number of each trial that has come to its end by itself, as soon as it has.

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
                callbacks=[_Watch(names, on_progress, on_done)],
                verbose=0,
            ),
        )
        results = tuner.fit()
    return {(results[place].config or {})[TRIAL]: results[place] for place in range(len(results))}


def tell(figures: Mapping[str, Any]) -> None:
    """Report, from within a trial's own process, how far it is; what stands under NOTE is for people to read."""
    tune.report(dict(figures))


def halving(knobs: Tune, max_epochs: int) -> ASHAScheduler | None:
    """What stops trials that fall behind, by the `epochs` that they tell; None where tune.scheduler is none."""
    if knobs.scheduler == "none":
        return None
    most = max_epochs + 1  # at its max_t ASHA stops a trial, even one that has only to be evaluated
    return ASHAScheduler(
        time_attr="epochs",  # Ray's own count begins at 1 again where a trial goes on from its checkpoint
        max_t=most,
        grace_period=min(knobs.grace_epochs, most),
        reduction_factor=knobs.reduction,
    )


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

    def __init__(self, names: Sequence[str], on_progress: OnTrials, on_done: Callable[[int], None]) -> None:
        self._names, self._on_progress, self._on_done = names, on_progress, on_done
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
        self._on_done(trial.config[TRIAL])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._failed += 1
        self._tell()

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        self._on_progress(TrialsProgress(self._done, len(self._names), self._failed, self._last))
