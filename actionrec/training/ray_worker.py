"""What each worker of Ray Train does: every network in turn, each resumed from its last checkpoint."""

import contextlib
import dataclasses
import functools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch

from actionrec import __version__
from actionrec.blame import said
from actionrec.cluster.board import Start, log, place
from actionrec.config import Config
from actionrec.errors import ActionrecError, InputError
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.loop import Workers, fit
from actionrec.storage import layout, models
from actionrec.storage.journal import Journal
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import random_networks, wanted
from actionrec.training.batches import BatchPlan
from actionrec.training.progress import TrainingProgress
from actionrec.training.ray_batches import RayData
from actionrec.training.spec import TrainingSpec

OnHistory = Callable[[Sequence[Epoch]], None]  # takes all epochs so far


@dataclass(frozen=True)
class TrainingJob:
    """What every worker needs to know."""

    config: Config
    output_url: str
    specs: Sequence[TrainingSpec]
    threads: int
    tasks: int  # data tasks at once, for each worker


def work(settings: dict[str, Any]) -> None:
    """A worker's whole life: every network in turn."""
    job, ledger = settings["job"], settings["ledger"]
    if ray.get(ledger.failure.remote()):  # Ray started the group again, but what ended it is no accident
        return
    try:
        torch.set_num_threads(job.threads)
        for done, spec in enumerate(job.specs):
            _train_one(job, spec, ledger, functools.partial(_report, ledger, job, spec, done))
    except ActionrecError as error:
        ray.get(ledger.fail.remote(str(error), isinstance(error, InputError)))
        raise


def _report(ledger: Any, job: TrainingJob, spec: TrainingSpec, done: int, history: Sequence[Epoch]) -> None:
    """Tell the driver. Not by ray.train.report, which holds workers up until Ray next polls them: 2 s an epoch."""
    if ray.train.get_context().get_world_rank() == 0:
        epoch = history[-1]
        progress = TrainingProgress(
            spec.name,
            epoch.epoch + 1,
            spec.training.max_epochs,
            epoch.val_loss,
            epoch.val_top1,
            len(job.specs),
            done,
            tuple(map(dataclasses.asdict, history)) if job.config.log else (),  # nobody else asks for them
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


def _train_one(job: TrainingJob, spec: TrainingSpec, ledger: Any, report: OnHistory) -> None:
    store = open_store(job.output_url, job.config.storage)
    workers = _workers()
    if _agreed(models.finished(store, spec.folder, spec.fingerprint), workers):
        return
    device = ray.train.torch.get_device()
    plan = BatchPlan(
        spec.loader,
        spec.train,
        spec.val,
        spec.seed,
        spec.training.batch,
        spec.training.shuffle_batches,
        workers.rank,
        workers.size,
    )
    with _loading(ledger), torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        network = spec.build().to(device)
    resume = models.read_checkpoint(store, spec.folder + models.CHECKPOINT, spec.fingerprint)
    leave_out = functools.partial(models.leave_out, store, spec.folder, spec.fingerprint)
    with contextlib.closing(RayData(plan, spec.training.max_epochs, str(device), job.tasks, leave_out)) as data:
        if resume is None:
            spec.prepare(network, data, workers)
        fitted = fit(
            network,
            data,
            spec.training,
            seed=spec.seed,
            objective=spec.objective,
            replica=ray.train.torch.prepare_model(network, move_to_device=False),
            workers=workers,
            device=str(device),
            resume=resume,
            resume_name=f"{store.url}/{spec.folder}{models.CHECKPOINT}",
            on_epoch=_Keeper(store, spec, workers, job.config.train.checkpoint_s, report),
        )
    if workers.rank == 0:
        models.save(
            store,
            spec.folder,
            spec.kept(fitted.tensors),
            fingerprint=spec.fingerprint,
            config=spec.describe() | _provenance(job, workers, fitted.best_epoch) | _left_out(store, spec),
            labels=spec.labels,
            history=[dataclasses.asdict(epoch) for epoch in fitted.history],
        )
    _agreed(True, workers)  # nobody goes on before the model is there


def _provenance(job: TrainingJob, workers: Workers, best_epoch: int) -> dict[str, Any]:
    return {
        "best_epoch": best_epoch,
        "workers": workers.size,
        "random_networks": random_networks(job.config, wanted(job.config)),
        "versions": {"actionrec": __version__, "torch": torch.__version__, "ray": ray.__version__},
        "python": platform.python_version(),
    }


def _left_out(store: Store, spec: TrainingSpec) -> dict[str, dict[str, str]]:
    """Videos that at least one epoch had to do without, and why; nothing where there are none."""
    found = models.left_out(store, spec.folder, spec.fingerprint)
    return {"left_out": found} if found else {}


def _refuse_nothing(store: Store, spec: TrainingSpec) -> None:
    """InputError where no video of a split can be used: the losses would be zero, and the first epoch the best."""
    left_out = models.left_out(store, spec.folder, spec.fingerprint)
    for split, samples in (("train", spec.train), ("val", spec.val)):
        if all(sample.video_id in left_out for sample in samples):
            video_id = samples[0].video_id
            raise InputError(
                f"{spec.name}: no {split} video can be used; the first, {video_id!r}: {left_out[video_id]}"
            )


class _Keeper:
    """At the end of an epoch: writes it down, tells the driver, and keeps a checkpoint unless the last one is fresh."""

    def __init__(self, store: Store, spec: TrainingSpec, workers: Workers, every_s: float, report: OnHistory) -> None:
        self._store, self._spec, self._rank, self._every_s = store, spec, workers.rank, every_s
        self._report = report
        self._kept = time.monotonic()
        self._journal = Journal(store, spec.folder + layout.JOURNAL)

    def __call__(self, history: Sequence[Epoch], checkpoint: Callable[[], bytes]) -> None:
        if len(history) == 1:
            _refuse_nothing(self._store, self._spec)
        if self._rank == 0:
            self._journal(history)
        if self._rank == 0 and time.monotonic() - self._kept >= self._every_s:
            key = self._spec.folder + models.CHECKPOINT
            models.put_checkpoint(self._store, key, self._spec.fingerprint, checkpoint())
            self._kept = time.monotonic()
        self._report(history)


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
