"""Which samples make which batch, and how a batch is made: a function of seed and epoch, without Ray.

An epoch goes window by window, a window being some consecutive batches whose videos lie in few parts. A global batch
is the same whatever the number of workers; worker r of W takes its samples r, r + W, r + 2 W, ...
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.errors import VideoError
from actionrec.learning.loop import Batch
from actionrec.storage.samples import Sample

BEFORE = -1  # the epoch before the first: the training videos once, for statistics

Arrays = dict[str, NDArray[Any]]
LeaveOut = Callable[[str, str], None]  # takes a video_id and the reason


def randomness(seed: int, epoch: int, video_id: str) -> np.random.Generator:
    """What is drawn for a video in an epoch, wherever and beside whichever others that is."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{video_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


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
class BatchPlan:
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
    """A plan's batches made in this process: what the benchmark holds Ray Data against. Implements learning's Data."""

    def __init__(self, plan: BatchPlan, device: str) -> None:
        self._plan, self._device = plan, device

    def training(self, epoch: int) -> Iterator[Batch]:
        return self._batches("train", epoch)

    def validation(self, epoch: int) -> Iterator[Batch]:
        return self._batches("val", epoch)

    def _batches(self, split: str, epoch: int) -> Iterator[Batch]:
        for window in range(self._plan.windows(split)):
            for arrays in self._plan.make(split, epoch, window):
                tensors = {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
                yield to_batch(self._plan.loader, tensors)


def to_batch(loader: Loader, tensors: Mapping[str, torch.Tensor]) -> Batch:
    return Batch(loader.inputs(tensors), tensors["target"], tensors["weight"])
