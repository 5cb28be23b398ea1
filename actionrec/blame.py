"""Whose fault an exception is: the video's that was computed when it was raised, or the machine's.

Imports none of the libraries whose exceptions it knows, since one that cannot be imported is itself a fault to judge.
"""

import errno
import os
import re
from enum import Enum


class Blame(Enum):
    """Whose fault it is, which says what is to be done."""

    VIDEO = "video"  # nothing speaks for the machine: this video fails, and the others go on
    PROCESS = "process"  # the device is lost, or memory or handles are used up: only a new process may do better
    MACHINE = "machine"  # nor would a new process: a full disk, a missing library, a GPU too small for the settings


# Not ENXIO: a socket that lies among the videos raises it. Some systems lack some.
_NUMBERS = {
    Blame.PROCESS: "ENOMEM EMFILE ENFILE EAGAIN ENOBUFS",
    Blame.MACHINE: "ENOSPC EDQUOT EROFS EIO EUCLEAN ENODEV"  # a disk, then a mount that is gone
    " ESTALE ENOTCONN EREMOTEIO ETIMEDOUT EHOSTDOWN EHOSTUNREACH ENOLCK",
}
_BY_ERRNO = {
    getattr(errno, name): found for found, names in _NUMBERS.items() for name in names.split() if hasattr(errno, name)
}
_BY_KIND = {
    "builtins.MemoryError": Blame.PROCESS,
    "builtins.ImportError": Blame.MACHINE,
    "torch.OutOfMemoryError": Blame.MACHINE,
    "torch.AcceleratorError": Blame.PROCESS,
    "torch.distributed.DistError": Blame.PROCESS,
}
_GPU_FULL = re.compile(r"(CUDA|HIP|XPU)\b.*out of memory|_STATUS_ALLOC_FAILED")
_SPEAKING = {"builtins.RuntimeError", "builtins.OSError", "cv2.error"}  # kinds whose text alone tells them apart
_BY_TEXT = (  # the first that is found counts, before the kind
    # what a library refuses: a video's odd shape, after which the device still works
    (re.compile(r"_STATUS_(NOT_SUPPORTED|BAD_PARAM|INVALID_VALUE)|invalid configuration argument"), Blame.VIDEO),
    (_GPU_FULL, Blame.MACHINE),
    (re.compile("shared object"), Blame.MACHINE),
    # PyTorch, C++, oneDNN and OpenCV, which keeps its code on the class, where the next error changes it
    (re.compile(r"can't allocate memory|not enough memory|can't start new thread|std::bad_alloc"), Blame.PROCESS),
    (re.compile(r"could not (create|execute) a primitive(?! desc)|could not create a memory object"), Blame.PROCESS),
    (re.compile(r"error: \(-4:"), Blame.PROCESS),
    # a device that is lost
    (
        re.compile(
            r"(CUDA|HIP|XPU|cuDNN|CUBLAS|cuBLAS|cuFFT|cuSOLVER|cusolver|cuSPARSE|cusparse|NCCL|MIOpen|nvrtc|NVML|Triton)"
            r"\b.*\b[Ee]rror\b|(CUDNN|CUBLAS|CUFFT|CUSOLVER|CUSPARSE)_STATUS_|\bNVIDIA driver\b|\bCUDA driver\b"
            r"|No CUDA GPUs are available|c10/cuda|CUDACachingAllocator"
        ),
        Blame.PROCESS,
    ),
)


def blame(error: BaseException) -> Blame:
    """Whose fault an exception is that is none of the project's own, or what it was raised from."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    return next((found for found in map(_blame, causes) if found is not Blame.VIDEO), Blame.VIDEO)


def said(error: BaseException) -> str:
    """An exception as one line: its type and its text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def sentence(error: BaseException) -> str:
    """What a person is told of a fault that is the machine's."""
    if _is_gpu_full(error):
        return "the GPU's memory is full: lower extract.flow_batch, extract.frame_batch or motion.embed_batch"
    return f"{said(error)}; this is the machine's fault and no video's: look at it, then run again"


def _blame(error: BaseException) -> Blame:
    number, kinds, text = _number(error), _kinds(error), str(error)
    if number is not None:
        return _BY_ERRNO.get(number, Blame.VIDEO)
    if kinds & _SPEAKING:
        for pattern, found in _BY_TEXT:
            if pattern.search(text):
                return found
    return next((_BY_KIND[kind] for kind in kinds if kind in _BY_KIND), Blame.VIDEO)


def _number(error: BaseException) -> int | None:
    """An error's errno, also where its library put it into the text alone: "[Errno 28]", "Too many open files (24)"."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if not isinstance(error, OSError | RuntimeError):
        return None
    text = str(error)
    return next((n for n in _BY_ERRNO if f"[errno {n}]" in text.lower() or f"{os.strerror(n)} ({n})" in text), None)


def _is_gpu_full(error: BaseException) -> bool:
    return "torch.OutOfMemoryError" in _kinds(error) or (
        isinstance(error, RuntimeError) and _GPU_FULL.search(str(error)) is not None
    )


def _kinds(error: BaseException) -> set[str]:
    """The full names of an exception's classes."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
