"""Batches: which videos make which, whatever the number of workers; Ray Data adds nothing and loses nothing."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actionrec.errors import Reason, VideoError
from actionrec.storage.samples import Sample
from actionrec.training.batches import Arrays, BatchPlan, DirectData


@dataclass(frozen=True)
class Numbers:
    """An item is its video's number and the epoch."""

    drop_ragged: bool = False
    unusable: frozenset[str] = frozenset()

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[Any]:
        assert len({sample.part for sample in samples}) == 1
        broken = VideoError(Reason.CORRUPT, "damaged")
        return [broken if s.video_id in self.unusable else (int(s.video_id), epoch) for s in samples]

    def collate(self, items: Sequence[Any]) -> Arrays:
        return {"item": np.array(items or [(-1, -1)], np.int64)}

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (tensors["item"],)


def plan(
    train: int, *, batch: int = 8, window: int = 2, rank: int = 0, workers: int = 1, drop: bool = False
) -> BatchPlan:
    samples = [Sample(str(number), number // 5, "train", number % 3) for number in range(train)]
    return BatchPlan(Numbers(drop), samples, samples[: train // 2], 7, batch, window, rank, workers)


def batches(source: BatchPlan, epoch: int, split: str = "train") -> list[list[int]]:
    """The numbers of each batch that have a weight."""
    data = DirectData(source, "cpu")
    found = []
    for each in data.training(epoch) if split == "train" else data.validation(epoch):
        assert len(each.inputs[0]) == len(each.target) == len(each.weight) > 0
        real = each.weight > 0
        assert each.target[real].tolist() == [number % 3 for number in each.inputs[0][real, 0].tolist()]
        found.append(each.inputs[0][real, 0].tolist())
    return found


@given(train=st.integers(2, 90), batch=st.integers(1, 16), window=st.integers(1, 5), epoch=st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_every_video_comes_exactly_once_an_epoch(train: int, batch: int, window: int, epoch: int) -> None:
    for split, count in (("train", train), ("val", train // 2)):
        found = batches(plan(train, batch=batch, window=window), epoch, split)
        assert sorted(number for each in found for number in each) == list(range(count))
        assert all(len(each) == batch for each in found[:-1])


@given(train=st.integers(2, 90), workers=st.integers(1, 5), window=st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_a_global_batch_is_the_same_for_any_number_of_workers(train: int, workers: int, window: int) -> None:
    alone = batches(plan(train, window=window), 1)
    shares = [batches(plan(train, window=window, rank=rank, workers=workers), 1) for rank in range(workers)]
    assert {len(share) for share in shares} == {len(alone)}  # equal step counts
    for step, whole in enumerate(alone):
        together = Counter(number for share in shares for number in share[step])
        assert together == Counter(whole)


@given(unusable=st.frozensets(st.integers(0, 29)), workers=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_a_video_that_cannot_be_used_has_no_weight_is_named_and_moves_no_other(
    unusable: frozenset[int], workers: int
) -> None:
    names = frozenset(map(str, unusable))
    for rank in range(workers):
        whole = plan(30, rank=rank, workers=workers)
        rest = dataclasses.replace(whole, loader=Numbers(unusable=names))
        expected = [[number for number in batch if number not in unusable] for batch in batches(whole, 1)]
        assert batches(rest, 1) == expected
        told: dict[str, str] = {}
        for window in range(rest.windows("train")):
            list(rest.make("train", 1, window, told.__setitem__))
        mine = {str(number) for batch in batches(whole, 1) for number in batch}
        assert told == dict.fromkeys(names & mine, "corrupt: damaged")


def test_the_same_epoch_gives_the_same_batches_and_another_one_others() -> None:
    assert batches(plan(60), 2) == batches(plan(60), 2)
    assert batches(plan(60), 2) != batches(plan(60), 3)
    assert batches(plan(60), 2, "val") == batches(plan(60), 3, "val")


def test_a_window_holds_whole_parts_so_that_few_are_read_at_once() -> None:
    source = plan(200, batch=10, window=1)  # 10 videos of parts of 5
    for start in range(0, 200, 10):
        parts = {sample.part for sample in source.order("train", 4)[start : start + 10]}
        assert len(parts) == 2
    assert len({sample.part for sample in plan(200, batch=10, window=20).order("train", 4)[:10]}) > 4


def test_a_ragged_last_batch_is_dropped_for_training_only_and_never_the_whole_epoch() -> None:
    assert [len(each) for each in batches(plan(21, drop=True), 0)] == [8, 8]
    assert [len(each) for each in batches(plan(21, drop=True), 0, "val")] == [8, 2]
    assert [len(each) for each in batches(plan(5, drop=True), 0)] == [5]
