"""Training on Ray Train: networks one after another in one group of workers, each resumed from its last checkpoint.

Checkpoints and models go to the root, in one PUT each, by the same store as everything else: a lost worker and a killed
driver are then the same case, and a rerun of what is finished does nothing.
"""

import contextlib
import dataclasses
import functools
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from actionrec import __version__
from actionrec.blame import said
from actionrec.config import Config, random_networks
from actionrec.distributed.board import ANSWER_S, Poll, Start, Starts, beside_the_driver, died_loading, log, place, why
from actionrec.distributed.feed import Feed, RayData
from actionrec.distributed.session import Cluster, cores, session
from actionrec.distributed.subjects import Subject
from actionrec.errors import ActionrecError, InputError
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.loop import Workers, fit
from actionrec.storage import models
from actionrec.storage.root import Root
from actionrec.storage.store import Store, open_store


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    name: str
    epoch: int  # finished
    max_epochs: int
    val_loss: float
    val_top1: float
    networks: int
    networks_done: int


@dataclass(frozen=True)
class Job:
    """What every worker needs to know."""

    config: Config
    output_url: str
    subjects: Sequence[Subject]
    threads: int
    tasks: int  # data tasks at once, for each worker


def train(
    root: Root,
    subjects: Sequence[Subject],
    *,
    verbose: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> list[models.Model]:
    """Train every subject that is not finished and return all models. ActionrecError: training gives up."""
    waiting = [each for each in subjects if not models.finished(root.output, each.folder, each.fingerprint)]
    if waiting:
        on_stage("Ray")
        with session(verbose) as cluster:
            on_stage("train")
            _run(root, waiting, cluster, on_progress)
    return [models.load(root.output, each.folder, each.fingerprint, f"use --replace {each.stage}") for each in subjects]


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Ledger:
    """What the workers tell the driver: how far they are, and the one sentence that ends the training.

    It lives with the driver. One that is lost all the same starts again knowing nothing, and is told what comes next.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
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

    def report(self, progress: Progress) -> None:
        self._progress = progress

    def fail(self, sentence: str, bad_input: bool) -> None:
        self._failure = self._failure or (sentence, bad_input)

    def failure(self) -> tuple[str, bool] | None:
        return self._failure

    def totals(self) -> tuple[Progress, ...]:
        return (self._progress,) if self._progress else ()


def _run(root: Root, subjects: Sequence[Subject], cluster: Cluster, on_progress: Callable[[Progress], None]) -> None:
    wanted = root.config.train
    on_gpu = wanted.device == "cuda" or (wanted.device == "auto" and cluster.gpus >= 1)
    count = wanted.workers or (int(cluster.gpus) if on_gpu else 1)
    if count == 0:
        raise InputError("the cluster has no GPUs now; wait for its workers, or set train.workers")
    # Half of what there is, shared out: the rest is for the tasks that read.
    share = min(1.0, cluster.cpus / (2 * count)) if cluster.cpus else 0.0
    here = len(ray.nodes()) == 1
    threads = wanted.threads or (max(1, cores() // count) if here else max(1, int(share)))
    job = Job(root.config, root.output.url, subjects, threads, max(1, cores() // count) if here else 4)
    ledger = Ledger.options(scheduling_strategy=beside_the_driver()).remote()  # type: ignore[attr-defined]
    resources = {"CPU": share} | ({"GPU": 1.0} if on_gpu else {})
    with tempfile.TemporaryDirectory(prefix="actionrec-train-") as folder:
        trainer = _Trainer(
            _work,
            train_loop_config={"job": job, "ledger": ledger},
            scaling_config=ScalingConfig(num_workers=count, use_gpu=on_gpu, resources_per_worker=resources),
            run_config=RunConfig(
                name=uuid.uuid4().hex,
                storage_path=folder,  # Ray's own notes; ours go to the root
                failure_config=FailureConfig(max_failures=wanted.max_failures),
            ),
        )
        gave_up = None
        with Poll(ledger, on_progress):
            try:
                trainer.fit()
            except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
                gave_up = error
    if reason := _reason(ledger, gave_up):
        raise reason


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


def _work(settings: dict[str, Any]) -> None:
    """A worker's whole life: every network in turn."""
    job, ledger = settings["job"], settings["ledger"]
    if ray.get(ledger.failure.remote()):  # Ray started the group again, but what ended it is no accident
        return
    try:
        torch.set_num_threads(job.threads)
        for done, subject in enumerate(job.subjects):
            _train_one(job, subject, ledger, functools.partial(_report, ledger, job, subject, done))
    except ActionrecError as error:
        ray.get(ledger.fail.remote(str(error), isinstance(error, InputError)))
        raise


def _report(ledger: Any, job: Job, subject: Subject, done: int, epoch: Epoch) -> None:
    """Tell the driver. Not by ray.train.report, which holds workers up until Ray next polls them: 2 s an epoch."""
    if ray.train.get_context().get_world_rank() == 0:
        progress = Progress(
            subject.name,
            epoch.epoch + 1,
            subject.training.max_epochs,
            epoch.val_loss,
            epoch.val_top1,
            len(job.subjects),
            done,
        )
        ledger.report.remote(progress)


@contextlib.contextmanager
def _loading(ledger: Any) -> Iterator[None]:
    """The ledger knows where this worker is, should it never come out of the block, and what it says on leaving."""
    worker = f"rank {ray.train.get_context().get_world_rank()}"
    ray.get(ledger.loading.remote(worker, Start(place(), log())))
    try:
        yield
    except Exception as error:
        ray.get(ledger.said.remote(worker, said(error)))
        raise
    ray.get(ledger.loaded.remote(worker))


def _train_one(job: Job, subject: Subject, ledger: Any, report: Callable[[Epoch], None]) -> None:
    store = open_store(job.output_url, job.config.storage)
    workers = _workers()
    if _agreed(models.finished(store, subject.folder, subject.fingerprint), workers):
        return
    device = ray.train.torch.get_device()
    feed = Feed(
        subject.loader,
        subject.train,
        subject.val,
        subject.seed,
        subject.training.batch,
        subject.training.shuffle_batches,
        workers.rank,
        workers.size,
    )
    with _loading(ledger), torch.random.fork_rng():
        torch.manual_seed(subject.seed)
        network = subject.build().to(device)
    resume = models.read_checkpoint(store, subject.folder + models.CHECKPOINT, subject.fingerprint)
    leave_out = functools.partial(models.leave_out, store, subject.folder, subject.fingerprint)
    with contextlib.closing(RayData(feed, subject.training.max_epochs, str(device), job.tasks, leave_out)) as data:
        if resume is None:
            subject.prepare(network, data, workers)
        fitted = fit(
            network,
            data,
            subject.training,
            seed=subject.seed,
            replica=ray.train.torch.prepare_model(network, move_to_device=False),
            workers=workers,
            device=str(device),
            resume=resume,
            resume_name=f"{store.url}/{subject.folder}{models.CHECKPOINT}",
            on_epoch=_Keeper(store, subject, workers, job.config.train.checkpoint_s, report),
        )
    if workers.rank == 0:
        models.save(
            store,
            subject.folder,
            subject.kept(fitted.tensors),
            fingerprint=subject.fingerprint,
            config=subject.describe() | _provenance(job, workers, fitted.best_epoch) | _left_out(store, subject),
            labels=subject.labels,
            history=[dataclasses.asdict(epoch) for epoch in fitted.history],
        )
    _agreed(True, workers)  # nobody goes on before the model is there


def _provenance(job: Job, workers: Workers, best_epoch: int) -> dict[str, Any]:
    return {
        "best_epoch": best_epoch,
        "workers": workers.size,
        "random_networks": random_networks(job.config),
        "versions": {"actionrec": __version__, "torch": torch.__version__, "ray": ray.__version__},
        "python": platform.python_version(),
    }


def _left_out(store: Store, subject: Subject) -> dict[str, dict[str, str]]:
    """Videos that at least one epoch had to do without, and why; nothing where there are none."""
    found = models.left_out(store, subject.folder, subject.fingerprint)
    return {"left_out": found} if found else {}


def _refuse_nothing(store: Store, subject: Subject) -> None:
    """InputError where no video of a split can be used: the losses would be zero, and the first epoch the best."""
    left_out = models.left_out(store, subject.folder, subject.fingerprint)
    for split, samples in (("train", subject.train), ("val", subject.val)):
        if all(sample.video_id in left_out for sample in samples):
            video_id = samples[0].video_id
            raise InputError(
                f"{subject.name}: no {split} video can be used; the first, {video_id!r}: {left_out[video_id]}"
            )


class _Keeper:
    """At the end of an epoch: tells the driver, and keeps a checkpoint unless the last one is fresh."""

    def __init__(
        self, store: Store, subject: Subject, workers: Workers, every_s: float, report: Callable[[Epoch], None]
    ) -> None:
        self._store, self._subject, self._rank, self._every_s = store, subject, workers.rank, every_s
        self._report = report
        self._kept = time.monotonic()

    def __call__(self, epoch: Epoch, checkpoint: Callable[[], bytes]) -> None:
        if epoch.epoch == 0:
            _refuse_nothing(self._store, self._subject)
        if self._rank == 0 and time.monotonic() - self._kept >= self._every_s:
            key = self._subject.folder + models.CHECKPOINT
            models.put_checkpoint(self._store, key, self._subject.fingerprint, checkpoint())
            self._kept = time.monotonic()
        self._report(epoch)


def _workers() -> Workers:
    context = ray.train.get_context()
    size = context.get_world_size()
    if size == 1:
        return Workers()

    def total(tensor: torch.Tensor) -> torch.Tensor:
        summed = tensor.clone()
        torch.distributed.all_reduce(summed)
        return summed

    return Workers(context.get_world_rank(), size, total)


def _agreed(mine: bool, workers: Workers) -> bool:
    """Whether all workers say so; also a barrier."""
    device = ray.train.torch.get_device()
    return int(workers.total(torch.tensor(int(mine), device=device))) == workers.size
