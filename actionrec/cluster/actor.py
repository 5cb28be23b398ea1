"""A worker as Ray Data's actor. Imports nothing heavy: a library that ends its process does so where it is counted."""

import contextlib
import gc
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from ray import cloudpickle

from actionrec.blame import Blame, blame, said, sentence
from actionrec.cluster.board import BoardWatcher, log
from actionrec.errors import ActionrecError, InputError


class _Actor:
    """Takes one row, returns a receipt.

    Errors of ours travel as receipts, because Ray would print them as tracebacks and wrap them past recognition. What
    only a new process can mend ends this one: Ray starts another, which is given the row again.

    pickled: the worker's class and its job, by cloudpickle, which are opened here and not where Ray starts the actor.
    """

    def __init__(self, pickled: bytes, board: Any, device: str) -> None:
        self._watcher = BoardWatcher(board)

        def load() -> Any:
            self._watcher.loading()
            with _uncollected():
                worker_class, job = cloudpickle.loads(pickled)
                worker = worker_class(job, device)
            self._watcher.loaded()
            return worker

        self._worker, self._error = self._tried(load)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        error, returned, worker = self._error, None, self._worker
        if worker:
            returned, error = self._tried(lambda: worker.run(row["part"], row["items"], self._watcher))
        return {
            "part": row["part"],
            "returned": returned or b"",
            "error": str(error or ""),
            "bad_input": isinstance(error, InputError),
        }

    def _tried(self, work: Callable[[], Any]) -> tuple[Any, ActionrecError | None]:
        """What `work` returns, or what ends the run: whatever was raised, with the place where that was."""
        try:
            return work(), None
        except ActionrecError as error:  # a file that could not be opened for want of handles, say, is one by its cause
            return None, self._end(error) if blame(error) is Blame.PROCESS else error
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the driver is to say it
            traceback.print_exception(error)  # into the process's log
            place = self._watcher.place
            if blame(error) is Blame.PROCESS:
                return None, self._end(error)
            if blame(error) is Blame.MACHINE:
                return None, ActionrecError(f"{place}: {sentence(error)}")
            # Charged to no video by the worker itself: its networks' loading, or a fault of the program
            more = f"; its log has more: {path}" if (path := log()) else ""
            return None, ActionrecError(f"a worker failed on {place}: {said(error)}{more}")

    def _end(self, error: BaseException) -> ActionrecError:
        """End this process; returns what ends the run instead, where that has not helped before."""
        try:
            self._watcher.ending(said(error))
        except ActionrecError as too_often:
            return too_often
        os._exit(1)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """What the block makes lasts as long as the process: garbage is not looked for in it, now or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
