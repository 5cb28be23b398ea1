"""Training on Ray Train, as the driver sees it: networks one after another in one group of workers.

Checkpoints and models go to the root, in one PUT each, by the same store as everything else: a lost worker and a killed
driver are then the same case, and a rerun of what is finished does nothing.
"""

import contextlib
import dataclasses
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from actionrec.cluster.board import ANSWER_S, Poll, Start, Starts, beside_the_driver, died_loading, why
from actionrec.cluster.session import Cluster, cores, session
from actionrec.errors import ActionrecError, InputError
from actionrec.storage import models
from actionrec.storage.root import Root
from actionrec.trackers.run import TrackedRun
from actionrec.trackers.tracking import Tracking
from actionrec.training.progress import TrainingProgress
from actionrec.training.ray_worker import TrainingJob, work
from actionrec.training.spec import TrainingSpec


def train(
    root: Root,
    specs: Sequence[TrainingSpec],
    *,
    verbose: bool = False,
    on_progress: Callable[[TrainingProgress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> list[models.Model]:
    """Train every network that is not finished and return all models. ActionrecError: training gives up."""
    waiting = [each for each in specs if not models.finished(root.output, each.folder, each.fingerprint)]
    if not waiting:
        return [_trained(root, spec) for spec in specs]
    runs = {spec.name: _shown(root, spec) for spec in waiting}
    with Tracking(root.config.log, root.output) as tracking:

        def heard(before: TrainingProgress | None, now: TrainingProgress) -> None:
            on_progress(now)
            for each in filter(None, (before, now)):
                tracking.told(runs[each.name], each.history)

        on_stage("Ray")
        with session(verbose) as cluster:
            on_stage("train")
            _run(root, waiting, cluster, heard)
        found = {spec.name: _trained(root, spec) for spec in specs}
        for name, run in runs.items():
            tracking.told(run, found[name].history)  # the driver need not have heard of every epoch
    return list(found.values())


def _trained(root: Root, spec: TrainingSpec) -> models.Model:
    return models.load(root.output, spec.folder, spec.fingerprint, f"use --replace {spec.stage}")


def _shown(root: Root, spec: TrainingSpec) -> TrackedRun:
    counts = {"classes": len(spec.labels), "train_videos": len(spec.train), "val_videos": len(spec.val)}
    settings = dataclasses.asdict(spec.training) | {"seed": spec.seed, "fingerprint": spec.fingerprint} | counts
    return TrackedRun(spec.folder.rstrip("/"), spec.name, root.output.url, settings)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Ledger:
    """What the workers tell the driver: how far they are, and the one sentence that ends the training.

    It lives with the driver. One that is lost all the same starts again knowing nothing, and is told what comes next.
    """

    def __init__(self) -> None:
        self._before: TrainingProgress | None = None  # the last of the network before
        self._progress: TrainingProgress | None = None
        self._failure: tuple[str, bool] | None = None
        self._starts = Starts()

    def loading(self, worker: str, start: Start) -> None:
        self._starts.loading(worker, start)

    def loaded(self, worker: str) -> None:
        self._starts.loaded(worker)

    def said(self, worker: str, words: str) -> None:
        self._starts.said(worker, words)

    def died(self) -> list[Start]:
        """The starts of a worker that never came to its first epoch."""
        return self._starts.died()

    def report(self, progress: TrainingProgress) -> None:
        if self._progress and self._progress.name != progress.name:
            self._before = self._progress
        self._progress = progress

    def fail(self, sentence: str, bad_input: bool) -> None:
        self._failure = self._failure or (sentence, bad_input)

    def failure(self) -> tuple[str, bool] | None:
        return self._failure

    def totals(self) -> tuple[TrainingProgress | None, ...]:
        return (self._before, self._progress) if self._progress else ()


def _run(
    root: Root,
    specs: Sequence[TrainingSpec],
    cluster: Cluster,
    heard: Callable[[TrainingProgress | None, TrainingProgress], None],
) -> None:
    wanted = root.config.train
    on_gpu = wanted.device == "cuda" or (wanted.device == "auto" and cluster.gpus >= 1)
    count = wanted.workers or (int(cluster.gpus) if on_gpu else 1)
    if count == 0:
        raise InputError("the cluster has no GPUs now; wait for its workers, or set train.workers")
    # Half of what there is, shared out: the rest is for the tasks that read.
    share = min(1.0, cluster.cpus / (2 * count)) if cluster.cpus else 0.0
    here = len(ray.nodes()) == 1
    threads = wanted.threads or (max(1, cores() // count) if here else max(1, int(share)))
    job = TrainingJob(root.config, root.output.url, specs, threads, max(1, cores() // count) if here else 4)
    ledger = Ledger.options(scheduling_strategy=beside_the_driver()).remote()  # type: ignore[attr-defined]
    resources = {"CPU": share} | ({"GPU": 1.0} if on_gpu else {})
    with tempfile.TemporaryDirectory(prefix="actionrec-train-") as folder:
        trainer = _Trainer(
            work,
            train_loop_config={"job": job, "ledger": ledger},
            scaling_config=ScalingConfig(num_workers=count, use_gpu=on_gpu, resources_per_worker=resources),
            run_config=RunConfig(
                name=uuid.uuid4().hex,
                storage_path=folder,  # Ray's own notes; ours go to the root
                failure_config=FailureConfig(max_failures=wanted.max_failures),
            ),
        )
        gave_up = None
        with Poll(ledger, heard):
            try:
                _fit(trainer)
            except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
                gave_up = error
    if reason := _reason(ledger, gave_up):
        raise reason


def _fit(trainer: TorchTrainer) -> None:
    """trainer.fit() beside this thread, which hears signals meanwhile: Ray's own waiting hears one when the training is
    over, or loses it."""
    failed: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            failed.append(error)

    beside = threading.Thread(target=fit, name="fit", daemon=True)
    beside.start()
    while beside.is_alive():
        beside.join(0.2)
    if failed:
        raise failed[0]


def _reason(ledger: Any, gave_up: Exception | None) -> ActionrecError | None:
    """What the training ends with, if with anything: what a worker told the ledger, or else what Ray says."""
    failure, died = None, []
    with contextlib.suppress(ray.exceptions.RayError):  # Ray's own word must do: the models may be there all the same
        failure, died = ray.get([ledger.failure.remote(), ledger.died.remote()], timeout=ANSWER_S)
    if failure:  # which Ray need not know of: see _work
        sentence, bad_input = failure
        return (InputError if bad_input else ActionrecError)(sentence)
    if gave_up is None:
        return None
    if died:
        return ActionrecError(died_loading(died))
    return ActionrecError(f"training gave up: {why(gave_up)}; run the same command again to go on")


class _Trainer(TorchTrainer):
    def _register_sigint_handler(self, controller: Any) -> None:
        """Ray's own handler ends the process with exit code 0 and no word, also long after the training."""
