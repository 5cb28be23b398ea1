"""Whose fault an exception is: the video's that was computed when it was raised, or the machine's.

Imports none of the libraries whose exceptions it knows, since one that cannot be imported is itself a fault to judge.
"""

import errno
import re
from enum import Enum


class Blame(Enum):
    """Whose fault it is, which says what is to be done."""

    VIDEO = "video"  # nothing speaks for the machine: this video fails, and the others go on
    PROCESS = "process"  # the device is lost, or memory or handles are used up: only a new process may do better
    MACHINE = "machine"  # nor would a new process: a full disk, a missing library, a GPU too small for the settings


_BY_ERRNO = {
    **dict.fromkeys((errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN), Blame.PROCESS),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO), Blame.MACHINE),
}
_OPENCV_NO_MEMORY = "(-4:"  # in the text: OpenCV keeps `code` on the class, where the next error changes it
_GPU_FULL = re.compile(r"(CUDA|HIP|XPU)\b.*out of memory|_STATUS_ALLOC_FAILED")
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|can't start new thread|std::bad_alloc")
_DEVICE = re.compile(
    r"(CUDA|HIP|XPU|cuDNN|CUBLAS|cuBLAS|cuFFT|cuSOLVER|cusolver|cuSPARSE|cusparse|NCCL|MIOpen|nvrtc|NVML|Triton)"
    r"\b.*\b[Ee]rror\b|(CUDNN|CUBLAS|CUFFT|CUSOLVER|CUSPARSE)_STATUS_|\bNVIDIA driver\b|\bCUDA driver\b"
    r"|No CUDA GPUs are available|c10/cuda|CUDACachingAllocator"
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
    if _is_gpu_full(error) or isinstance(error, ImportError):
        return Blame.MACHINE
    if isinstance(error, MemoryError) or _is_opencv_without_memory(error):
        return Blame.PROCESS
    if isinstance(error, OSError):
        missing_library = error.errno is None and "shared object" in str(error)
        return Blame.MACHINE if missing_library else _BY_ERRNO.get(error.errno or 0, Blame.VIDEO)
    if not isinstance(error, RuntimeError):
        return Blame.VIDEO
    own = _kinds(error) & {"torch.AcceleratorError", "torch.distributed.DistError"}
    return Blame.PROCESS if own or _NO_MEMORY.search(str(error)) or _DEVICE.search(str(error)) else Blame.VIDEO


def _is_gpu_full(error: BaseException) -> bool:
    return "torch.OutOfMemoryError" in _kinds(error) or (
        isinstance(error, RuntimeError) and _GPU_FULL.search(str(error)) is not None
    )


def _is_opencv_without_memory(error: BaseException) -> bool:
    return "cv2.error" in _kinds(error) and _OPENCV_NO_MEMORY in str(error)


def _kinds(error: BaseException) -> set[str]:
    """The full names of an exception's classes."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
