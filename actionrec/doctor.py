"""What this machine, its storage and its cluster can do: each finding says whether a job would fail because of it."""

import contextlib
import dataclasses
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec import config as configuration
from actionrec.config import Config
from actionrec.errors import ActionrecError

NEEDED_MEMORY_GIB = 4.0  # one CPU worker with its decoder and networks, and Ray itself
NEEDED_DISK_GIB = 2.0  # Ray's object store and the weights under the root
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """`ok` False means that a job with these settings would fail here."""

    what: str
    ok: bool
    detail: str
    demo: bool = True  # whether the demo needs it too


def examine(
    layers: Sequence[Mapping[str, Any]], named: Mapping[str, Any], root: str | None, verbose: bool
) -> Iterator[Finding]:
    """Every check, cheapest first, with the settings that a job on `root` would have: see storage.root.open_root.

    InputError: `named` and `layers` are no configuration."""
    config, found = _settings(layers, named, root)
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0])
    yield from found
    yield from (_import(name, remedy) for name, remedy in _NATIVE.items())
    checks: dict[str, Callable[[], str]] = {
        "cores": _cores,
        "memory": _memory,
        "disk": _disk,
        "gpu": _gpu,
        "decoder": lambda: _decoder(config),
        "ray": lambda: _ray(verbose),
    }
    for what, check in checks.items():
        yield _finding(what, check)
    yield dataclasses.replace(_finding("storage", lambda: _storage(config, root)), demo=False)
    yield from _weights(config)


def _settings(
    layers: Sequence[Mapping[str, Any]], named: Mapping[str, Any], root: str | None
) -> tuple[Config, list[Finding]]:
    """Where the root cannot be opened, what was typed must do."""
    from actionrec.storage.root import open_root

    typed = configuration.load([named, *layers])
    if root is None:
        return typed, []
    try:
        opened = open_root(root, layers, named=named)
    except (ActionrecError, OSError) as error:
        return typed, [Finding("root", False, str(error), demo=False)]
    kind = "its own settings, and what is typed over them" if opened.stored else "new, so the settings are those typed"
    return opened.config, [Finding("root", True, f"{opened.store.url}: {kind}", demo=False)]


_NATIVE = {
    "cv2": "OpenCV lacks a system library; on a slim Debian or Ubuntu image: apt-get install libgl1 libglib2.0-0",
    "av": "install the environment again",
    "torch": "install the environment again; the CPU-only build of torch does not go with torchvision's wheel",
    "torchvision": "torch and torchvision must be the locked versions",
}


def _import(name: str, remedy: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(name, False, f"cannot be imported ({' '.join(str(error).split())}): {remedy}")
    return Finding(name, True, str(getattr(module, "__version__", "")))


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except (ActionrecError, OSError) as error:
        return Finding(what, False, str(error))


def _cores() -> str:
    from actionrec.cluster.cores import here

    return here().said()


def _memory() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    if total < NEEDED_MEMORY_GIB:
        raise ActionrecError(f"{total:.1f} GiB in all; a job needs {NEEDED_MEMORY_GIB:g}")
    return f"{total:.1f} GiB"


def _disk() -> str:
    free = shutil.disk_usage(tempfile.gettempdir()).free / GIB
    if free < NEEDED_DISK_GIB:
        raise ActionrecError(
            f"{free:.1f} GiB free in {tempfile.gettempdir()}; Ray needs {NEEDED_DISK_GIB:g}: set TMPDIR"
        )
    return f"{free:.0f} GiB free in {tempfile.gettempdir()}"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none; networks run on the CPU"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _decoder(config: Config) -> str:
    from actionrec.errors import Reason, VideoError
    from actionrec.media.isolate import Decoder

    with Decoder(config.clip, config.limits) as decoder:
        try:
            decoder.decode(b"")
        except VideoError as error:
            if error.reason != Reason.EMPTY:
                raise
    return "its process starts and answers"


def _storage(config: Config, root: str | None) -> str:
    from actionrec.storage.store import open_store

    if root is None:
        return "not checked; name it with --root"
    store, key = open_store(root, config.storage), f"doctor-{os.getpid()}"
    made = _not_there(store.url)
    store.put(key, b"written by actionrec doctor; safe to delete")
    store.delete(key)
    with contextlib.suppress(OSError):  # somebody else has come to use them
        for folder in made:
            folder.rmdir()
    return f"{store.url} is writable"


def _not_there(url: str) -> list[Path]:
    """The folders that writing to `url` would make, the innermost first."""
    return [] if "://" in url else [folder for folder in (Path(url), *Path(url).parents) if not folder.exists()]


def _ray(verbose: bool) -> str:
    from actionrec.cluster.session import session

    with session(verbose) as cluster:
        where = os.environ.get("RAY_ADDRESS") or "a local session"
        return f"{where}: {cluster.cpus:g} logical CPUs, {cluster.gpus:g} GPUs"


def _weights(config: Config) -> Iterator[Finding]:
    from actionrec.storage.weights import survey

    try:
        found = survey(config)
    except ActionrecError as error:
        yield Finding("weights", False, str(error), demo=False)
        return
    of_demo = {each.file_name for each in survey(configuration.load([configuration.read_layer("demo")]))}
    for each in found:
        remedy = f"; connect to a network, or choose {each.section}.weights=random" if each.state == "missing" else ""
        detail = f"{each.section}: {each.file_name} is {each.state}{remedy}"
        yield Finding("weights", not remedy, detail, demo=each.file_name in of_demo)
    if not found:
        yield Finding("weights", True, "this configuration asks for no published ones; nothing to download")
