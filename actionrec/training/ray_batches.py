"""The batches of a plan through Ray Data: one stream over all epochs, made in tasks ahead of the training.

A row of the data set is a window: some consecutive batches of one epoch. A task reads the parts that the window's
videos lie in, makes one worker's share of the batches, and the worker takes them in order through iter_torch_batches.
"""

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any, cast

import pyarrow as pa
import ray.data
import safetensors.numpy
import safetensors.torch
from ray.data.collate_fn import ArrowBatchCollateFn

from actionrec.cluster.drain import drain
from actionrec.errors import ActionrecError, InputError
from actionrec.learning.loop import Batch
from actionrec.training.batches import BEFORE, BatchPlan, LeaveOut, to_batch

TASK_CPUS = 0.25  # so that tasks find room beside the workers even where Ray was given two CPUs in all
PREFETCH = 4  # batches


class RayData:
    """A plan's batches through Ray Data, epochs ahead of the training that takes them. Implements learning's Data.

    The epochs must be taken in order, from whichever is asked for first to `max_epochs`. `leave_out` is told once of
    every video that cannot be used, no later than when its batch is taken.
    """

    def __init__(
        self,
        plan: BatchPlan,
        max_epochs: int,
        device: str,
        tasks: int,
        leave_out: LeaveOut = lambda video_id, reason: None,
    ) -> None:
        self._plan, self._max_epochs, self._device, self._tasks = plan, max_epochs, device, tasks
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
        for step in range(self._plan.steps(split)):
            found = next(self._stream)
            if found["error"]:
                raise (InputError if found["bad_input"] else ActionrecError)(found["error"])
            place = (found["split"], found["epoch"])
            if place != (split, epoch):
                raise ActionrecError(
                    f"batch {step} of {split}, epoch {epoch}, was asked for and {place} came; run again"
                )
            self._note(json.loads(found["left_out"]))
            yield to_batch(self._plan.loader, {name: t.to(self._device) for name, t in found["tensors"].items()})

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
            for window in range(self._plan.windows(split))
        ]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).flat_map(
            _Make(self._plan), num_cpus=TASK_CPUS, compute=ray.data.TaskPoolStrategy(size=self._tasks)
        )
        batches = dataset.iter_torch_batches(batch_size=1, prefetch_batches=PREFETCH, collate_fn=_Unpack())
        return cast("Generator[dict[str, Any]]", iter(batches))


class _Make:
    """A window's row to its batches. Errors of ours travel as rows, because Ray would wrap them past recognition."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        left_out: dict[str, str] = {}
        place = {"epoch": row["epoch"], "split": row["split"], "error": "", "bad_input": False}
        try:
            for arrays in self._plan.make(row["split"], row["epoch"], row["window"], left_out.__setitem__):
                yield place | {"tensors": safetensors.numpy.save(arrays), "left_out": json.dumps(left_out)}
        except ActionrecError as error:
            failure = {"error": str(error), "bad_input": isinstance(error, InputError)}
            yield place | failure | {"tensors": b"", "left_out": "{}"}


class _Unpack(ArrowBatchCollateFn):
    def __call__(self, batch: pa.Table) -> Any:
        row = batch.to_pylist()[0]
        return row | {"tensors": safetensors.torch.load(row["tensors"]) if row["tensors"] else {}}
