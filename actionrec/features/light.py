"""Imports of libraries without what they load and nothing here uses, which every process would wait for."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def import_timm() -> Any:
    """The module timm, with torchvision's transforms beside it. Both import torch's compiler, and with it sympy, for a
    second or more, to mark a few functions that it must leave alone; none of those is among the ones that run here."""
    with (
        _standing_in("torch._dynamo", disable=lambda function, *how, **more: function),
        _standing_in("torch._dynamo.utils", is_compile_supported=lambda device_type: False),
    ):
        import timm

        importlib.import_module("torchvision.transforms.v2.functional")
    return timm


def import_torchvggish() -> Any:
    """The module torchvggish, whose resampler, on numba, is for sound that is not at VGGish's own rate: none here."""
    with _standing_in("resampy"):
        import torchvggish
        import torchvggish.vggish_input
    return torchvggish


def import_ptlflow() -> Any:
    """The module ptlflow. One of its networks takes any faiss that is installed for that of a GPU, and none of them can
    then be imported beside the one that searches here; without faiss that network does without."""
    before = sys.modules.get("faiss")
    sys.modules["faiss"] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
        import ptlflow
    finally:
        del sys.modules["faiss"]
        if before is not None:
            sys.modules["faiss"] = before
    return ptlflow


@contextlib.contextmanager
def _standing_in(name: str, **attributes: Any) -> Iterator[None]:
    """While the block runs an import of `name` gives a module with these attributes alone, unless the true one is
    there; an import later on gives the true one."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = stand_in = ModuleType(name)
    vars(stand_in).update(attributes)
    try:
        yield
    finally:
        del sys.modules[name]
