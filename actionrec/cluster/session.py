"""One Ray session: the cluster that RAY_ADDRESS names, or a quiet local one with its ports and dashboard closed."""

import contextlib
import functools
import logging
import os
import secrets
import signal
import socket
import sysconfig
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ray

from actionrec.cluster.address import cluster_address, demand_head
from actionrec.cluster.drain import drain
from actionrec.cluster.lastword import LastWord, tail
from actionrec.cluster.start import start_in_turn
from actionrec.errors import ActionrecError
from actionrec.show import console

MIN_LOGICAL_CPUS = 8  # Ray counts helpers as whole CPUs; pool sizes, not this number, bound the real work
QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # or Ray Tune draws boxes, whatever its verbosity
    "PYTHONWARNINGS": "ignore",
}
HEAD_S = 20.0  # without an answer of Ray's head (its GCS) after which it is given up
# Or a local Ray starts a worker for every logical CPU at once, which all import what few of them will use.
PRESTART = {"RAY_prestart_worker_first_driver": "0"}
PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "30"}  # then Ray ends its processes, without a word; else: 60


@dataclass(frozen=True)
class Cluster:
    """What the session may use."""

    cpus: float
    gpus: float
    memory_bytes: float


@contextlib.contextmanager
def session(verbose: bool = False) -> Iterator[Cluster]:
    """Join or start Ray for the duration of the block. A session that is already open is used and left open."""
    joined = ray.is_initialized()
    if not joined:
        _start(verbose)
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL)  # errors reach us as exceptions
    try:
        yield _cluster()
    finally:
        if not (joined or _keep):
            _end()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Sessions that are opened within the block share one, which ends with it; without a session there is none to end.

    For a command of many steps: starting Ray takes seconds, and a finished step does not start it at all.
    """
    global _keep
    before, _keep = _keep, True
    try:
        yield
    finally:
        _keep = before
        if not _keep and ray.is_initialized():
            _end()


_keep = False
_over = threading.Event()  # the session that was started last
_word: LastWord | None = None  # while a session that was started here lasts


def _end() -> None:
    with _deferred_signals():  # a shutdown that is left half way would be done again as the interpreter ends
        _over.set()
        try:
            drain()
            ray.shutdown()
        finally:
            _goodbye()


def _goodbye() -> None:
    global _word
    word, _word = _word, None
    if word:
        word.goodbye()


def cores() -> int:
    """Cores that this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(verbose: bool) -> None:
    global _over, _word
    level = logging.INFO if verbose else logging.ERROR
    settings = PATIENCE | PRESTART | ({} if verbose else QUIET)
    os.environ.update({key: value for key, value in settings.items() if key not in os.environ})
    if not verbose:
        warnings.filterwarnings("ignore", module=r"ray\b")
    address = cluster_address()
    if address:
        demand_head(address)
    else:
        _demand_token()
    try:
        _word = LastWord()
        begin = functools.partial(_init, address, verbose, level, _word.said)
        begin() if address else start_in_turn(begin)
        _over = threading.Event()
        where = ray.get_runtime_context().gcs_address
        threading.Thread(target=_watch_head, args=(where, _over), name="watch-head", daemon=True).start()
    except BaseException as error:
        hidden = tail(_word.said.fileno()) if _word else []
        _end()
        if isinstance(error, SystemExit) and error.code == signal.SIGTERM:  # by Ray's own handler, while it starts
            signal.raise_signal(signal.SIGTERM)
        if isinstance(error, SystemError) or not isinstance(error, Exception):  # a signal; SystemError from native code
            raise
        reason = "; Ray said: ".join([" ".join(str(error).split())[:300], *hidden[-1:]])
        raise ActionrecError(f"Ray cannot be started or joined ({address or 'on this machine'}): {reason}") from None
    _word.said.truncate(0)


def _watch_head(where: str, over: threading.Event) -> None:
    """End this process with a sentence where Ray's head is lost for good: Ray itself would end it without one."""
    host, _, port = where.rpartition(":")
    answered_s = time.monotonic()
    while not over.wait(2):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
            answered_s = time.monotonic()
        except OSError:
            if time.monotonic() - answered_s > HEAD_S:
                console.fail(
                    f"Ray's head at {where} has not answered for {HEAD_S:.0f} s; what is committed stays, "
                    "and the same command goes on from there"
                )
                _goodbye()
                os._exit(1)  # the main thread waits within Ray, which cannot be interrupted now


def _init(address: str, verbose: bool, level: int, said: IO[bytes]) -> None:
    with contextlib.nullcontext() if verbose else _hidden_stderr(said), _kept_signal_handlers():
        if address:  # as under `ray job submit`, where resource arguments are an error
            ray.init(address, log_to_driver=verbose, logging_level=level)
        else:
            _share_code()
            ray.init(
                address="local",
                num_cpus=max(MIN_LOGICAL_CPUS, cores()),
                include_dashboard=False,
                log_to_driver=verbose,
                logging_level=level,
            )


@contextlib.contextmanager
def _hidden_stderr(said: IO[bytes]) -> Iterator[None]:
    """Ray's native code says a line or two while it starts that no setting takes away: they matter where it fails."""
    kept = os.dup(2)
    os.dup2(said.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and would abort where we close what is open."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C count at the end of the block; what they interrupt is over soon by itself."""
    came: list[int] = []
    with _kept_signal_handlers():
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda came_now, frame: came.append(came_now))
        yield
    for first in came[:1]:
        signal.raise_signal(first)


def _demand_token() -> None:
    """Ray's ports listen on all interfaces whatever is asked, so a session demands a token: one of its own, in memory.

    Ray would write one that every user of the machine can read, and fail where there is no home to write it to.
    """
    if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _share_code() -> None:
    """Workers import the package that this process runs, which need not be the one that is installed."""
    code = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if code not in (*known, sysconfig.get_path("purelib")):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [code, *known]))


def _cluster() -> Cluster:
    resources = ray.cluster_resources()
    return Cluster(resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", 0.0))
