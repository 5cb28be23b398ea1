"""Training batches from the root through Ray Data: one stream over all epochs, its order a function of seed and epoch.

A row of the data set is a window: some consecutive batches of one epoch. A task reads the parts that the window's
videos lie in, makes one worker's share of the batches, and the worker takes them in order through iter_torch_batches.
A global batch is the same whatever the number of workers; worker r of W takes its samples r, r + W, r + 2 W, ...
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import ray.data
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from ray.data.collate_fn import ArrowBatchCollateFn

from actionrec.distributed.drain import drain
from actionrec.errors import ActionrecError, InputError, VideoError
from actionrec.learning.loop import Batch
from actionrec.storage.samples import Sample

TASK_CPUS = 0.25  # so that tasks find room beside the workers even where Ray was given two CPUs in all
PREFETCH = 4  # batches
BEFORE = -1  # the epoch before the first: the training videos once, for statistics

Arrays = dict[str, NDArray[Any]]
LeaveOut = Callable[[str, str], None]  # takes a video_id and the reason


class Loader(Protocol):
    """Makes samples of one kind, in a Ray task. Randomness follows from (seed, epoch, video_id) alone."""

    drop_ragged: bool  # whether training leaves out an epoch's last batch where it is not full

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[Any]:
        """One item a sample; all of the samples lie in one part. InputError names what cannot be read.

        A VideoError in an item's place says why this video cannot be used: its batch goes without it.
        """

    def collate(self, items: Sequence[Any]) -> Arrays:
        """Items as arrays with the first axis B; no items give one padding sample."""

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What the network takes, on the tensors' device."""


@dataclass(frozen=True)
class Feed:
    """Everything that decides one worker's batches."""

    loader: Loader
    train: Sequence[Sample]
    val: Sequence[Sample]
    seed: int
    batch: int  # over all workers together
    shuffle_batches: int
    rank: int = 0
    workers: int = 1

    def steps(self, split: str) -> int:
        """Batches of an epoch, the same for every worker."""
        count = len(self._of(split))
        ragged = split == "val" or not self.loader.drop_ragged or count < self.batch
        return -(-count // self.batch) if ragged else count // self.batch

    def windows(self, split: str) -> int:
        return -(-self.steps(split) // self.shuffle_batches)

    def order(self, split: str, epoch: int) -> list[Sample]:
        """Parts shuffled, then the videos of each window; validation in its own order."""
        samples = self._of(split)
        if split == "val":
            return list(samples)
        rng = np.random.default_rng([self.seed, epoch - BEFORE])
        by_part: dict[int, list[Sample]] = {}
        for sample in samples:
            by_part.setdefault(sample.part, []).append(sample)
        parts = sorted(by_part)
        shuffled = [sample for place in rng.permutation(len(parts)) for sample in by_part[parts[place]]]
        window = self.batch * self.shuffle_batches
        return [
            shuffled[start + place]
            for start in range(0, len(shuffled), window)
            for place in rng.permutation(min(window, len(shuffled) - start))
        ]

    def make(
        self, split: str, epoch: int, window: int, leave_out: LeaveOut = lambda video_id, reason: None
    ) -> Iterator[Arrays]:
        """This worker's share of a window's batches, with `target` and `weight`; padding has weight 0.

        `leave_out` is told of every video that cannot be used, before the window's first batch.
        """
        size = self.batch * self.shuffle_batches
        chosen = self.order(split, epoch)[window * size : (window + 1) * size]
        starts = range(0, len(chosen), self.batch)[: self.steps(split) - window * self.shuffle_batches]
        shares = [chosen[start : start + self.batch][self.rank :: self.workers] for start in starts]
        items = self._load([sample for share in shares for sample in share], epoch, split == "train")
        unusable = {video_id: item for video_id, item in items.items() if isinstance(item, VideoError)}
        for video_id, error in unusable.items():
            leave_out(video_id, str(error))
        for share in shares:
            share = [sample for sample in share if sample.video_id not in unusable]
            arrays = self.loader.collate([items[sample.video_id] for sample in share])
            yield arrays | {
                "target": np.array([sample.target or 0 for sample in share] or [0], np.int64),
                "weight": np.array([1.0] * len(share) or [0.0], np.float32),
            }

    def _of(self, split: str) -> Sequence[Sample]:
        return self.train if split == "train" else self.val

    def _load(self, samples: Sequence[Sample], epoch: int, training: bool) -> dict[str, Any]:
        by_part: dict[int, list[Sample]] = {}
        for sample in samples:
            by_part.setdefault(sample.part, []).append(sample)
        items: dict[str, Any] = {}
        for members in by_part.values():
            loaded = self.loader.load(members, epoch, training)
            items |= {sample.video_id: item for sample, item in zip(members, loaded, strict=True)}
        return items


class DirectData:
    """A feed's batches made in this process: what the benchmark holds Ray Data against. Implements learning's Data."""

    def __init__(self, feed: Feed, device: str) -> None:
        self._feed, self._device = feed, device

    def training(self, epoch: int) -> Iterator[Batch]:
        return self._batches("train", epoch)

    def validation(self, epoch: int) -> Iterator[Batch]:
        return self._batches("val", epoch)

    def _batches(self, split: str, epoch: int) -> Iterator[Batch]:
        for window in range(self._feed.windows(split)):
            for arrays in self._feed.make(split, epoch, window):
                tensors = {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
                yield _batch(self._feed.loader, tensors)


class RayData:
    """A feed's batches through Ray Data, epochs ahead of the training that takes them. Implements learning's Data.

    The epochs must be taken in order, from whichever is asked for first to `max_epochs`. `leave_out` is told once of
    every video that cannot be used, no later than when its batch is taken.
    """

    def __init__(
        self,
        feed: Feed,
        max_epochs: int,
        device: str,
        tasks: int,
        leave_out: LeaveOut = lambda video_id, reason: None,
    ) -> None:
        self._feed, self._max_epochs, self._device, self._tasks = feed, max_epochs, device, tasks
        self._leave_out = leave_out
        self._left_out: set[str] = set()
        self._stream: Generator[dict[str, Any]] | None = None

    def training(self, epoch: int) -> Iterator[Batch]:
        return self._take("train", epoch)

    def validation(self, epoch: int) -> Iterator[Batch]:
        return self._take("val", epoch)

    def close(self) -> None:
        """Stop the tasks that work ahead, and the threads that wait for them: this process may end next."""
        if self._stream:
            self._stream.close()
        self._stream = None
        drain()

    def _take(self, split: str, epoch: int) -> Iterator[Batch]:
        if self._stream is None:
            self._stream = self._open(epoch)
        for step in range(self._feed.steps(split)):
            found = next(self._stream)
            if found["error"]:
                raise (InputError if found["bad_input"] else ActionrecError)(found["error"])
            place = (found["split"], found["epoch"])
            if place != (split, epoch):
                raise ActionrecError(
                    f"batch {step} of {split}, epoch {epoch}, was asked for and {place} came; run again"
                )
            self._note(json.loads(found["left_out"]))
            yield _batch(self._feed.loader, {name: t.to(self._device) for name, t in found["tensors"].items()})

    def _note(self, left_out: Mapping[str, str]) -> None:
        for video_id in left_out.keys() - self._left_out:
            self._leave_out(video_id, left_out[video_id])
        self._left_out |= left_out.keys()

    def _open(self, first: int) -> Generator[dict[str, Any]]:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        context.execution_no_progress_timeout_s = -1  # a step may take as long as it takes
        rows = [
            {"epoch": epoch, "split": split, "window": window}
            for epoch in range(first, self._max_epochs)
            for split in (("train",) if epoch == BEFORE else ("train", "val"))
            for window in range(self._feed.windows(split))
        ]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).flat_map(
            _Make(self._feed), num_cpus=TASK_CPUS, compute=ray.data.TaskPoolStrategy(size=self._tasks)
        )
        batches = dataset.iter_torch_batches(batch_size=1, prefetch_batches=PREFETCH, collate_fn=_Unpack())
        return cast("Generator[dict[str, Any]]", iter(batches))


class _Make:
    """A window's row to its batches. Errors of ours travel as rows, because Ray would wrap them past recognition."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        left_out: dict[str, str] = {}
        place = {"epoch": row["epoch"], "split": row["split"], "error": "", "bad_input": False}
        try:
            for arrays in self._feed.make(row["split"], row["epoch"], row["window"], left_out.__setitem__):
                yield place | {"tensors": safetensors.numpy.save(arrays), "left_out": json.dumps(left_out)}
        except ActionrecError as error:
            failure = {"error": str(error), "bad_input": isinstance(error, InputError)}
            yield place | failure | {"tensors": b"", "left_out": "{}"}


class _Unpack(ArrowBatchCollateFn):
    def __call__(self, batch: pa.Table) -> Any:
        row = batch.to_pylist()[0]
        return row | {"tensors": safetensors.torch.load(row["tensors"]) if row["tensors"] else {}}


def _batch(loader: Loader, tensors: Mapping[str, torch.Tensor]) -> Batch:
    return Batch(loader.inputs(tensors), tensors["target"], tensors["weight"])
