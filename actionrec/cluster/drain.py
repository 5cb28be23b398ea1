"""Ends what Ray Data still runs in this process, before Ray itself is shut down under its threads.

Ray Data works in threads of the driver, and stops few of them where an iterator is left half way. One that drops a
reference to an object while `ray.shutdown` destroys the native worker aborts the process; one that asks Ray for
something afterwards would start another Ray, by itself.
"""

import contextlib
import gc
import sys
import threading
import time
from collections.abc import Iterator
from types import GeneratorType

DRAIN_S = 10.0  # then Ray is shut down all the same; a thread that is idle ends within 0.1 s
# An execution's loop, its fetcher of metadata, and what runs ahead of whoever takes rows or batches.
THREADS = ("StreamingExecutor-", "ray-data-metadata-prefetch", "Prefetcher", "iter_threaded", "map_tp_")
ITERATION = "_create_iterator"  # the generator behind iter_rows, iter_batches and iter_torch_batches


def drain() -> list[str]:
    """Close Ray Data's iterators, stop its executions, wait for its threads; the names of those that are left."""
    if "ray.data" not in sys.modules:
        return []
    _close_iterations()
    deadline_s = time.monotonic() + DRAIN_S
    threads = list(_threads())
    for thread in threads:
        _stop(thread)
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    gc.collect()  # references in cycles are dropped while there is a worker to be told
    return [thread.name for thread in _threads()]


def _threads() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name.startswith(THREADS))


def _close_iterations() -> None:
    """Those that a variable or a traceback still holds. To close one stops its execution and its threads."""
    for each in gc.get_objects():
        if type(each) is GeneratorType and each.gi_code.co_name == ITERATION and each.gi_frame and not each.gi_running:
            with contextlib.suppress(Exception):  # it is being given up; what it would say was said before
                each.close()


def _stop(thread: threading.Thread) -> None:
    from ray.data._internal.block_batching.util import WaitBlockPrefetcher
    from ray.data._internal.execution.metadata_fetcher import ThreadedMetadataFetcher
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

    owner = getattr(getattr(thread, "_target", None), "__self__", None)  # nothing else leads to these two
    with contextlib.suppress(Exception):
        if isinstance(thread, StreamingExecutor):
            thread.shutdown(force=True)
        elif isinstance(owner, (WaitBlockPrefetcher, ThreadedMetadataFetcher)):  # a second signal left them running
            owner.stop()
