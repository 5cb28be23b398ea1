"""Whose fault an exception is, on exceptions as the libraries raise them."""

import ctypes
import errno
import importlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from actionrec.blame import Blame, blame, said, sentence

ASSERT = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"


def of_errno(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/data/videos/a.mp4")


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError(ASSERT),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA driver error: device-side assert triggered"),
        RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa)`"),
        RuntimeError("cuFFT error: CUFFT_INTERNAL_ERROR"),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":1016'),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
        torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:94, unhandled system error"),
        RuntimeError("can't start new thread"),
        cv2.error("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not execute a primitive"),
        RuntimeError("could not create a memory object"),
        RuntimeError("unable to mmap 1000 bytes from file </torch_1>: Cannot allocate memory (12)"),
        RuntimeError("unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)"),
        *map(of_errno, (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOBUFS)),
    ],
    ids=said,
)
def test_only_a_new_process_mends_a_lost_device_and_what_is_used_up(error: Exception) -> None:
    assert blame(error) is Blame.PROCESS


@pytest.mark.parametrize(
    "work",
    [
        lambda: torch.empty(2**50),
        lambda: np.empty(2**60, np.uint8),
        lambda: pa.allocate_buffer(2**60),
        lambda: cv2.resize(np.zeros((8, 8), np.uint8), (2**30, 2**30)),
        lambda: bytearray(2**62),
    ],
)
def test_memory_that_is_used_up_is_known_from_every_library(work: Callable[[], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError, cv2.error)) as raised:
        work()
    assert blame(raised.value) is Blame.PROCESS


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=said,
)
def test_a_full_gpu_is_a_matter_of_settings(error: Exception) -> None:
    assert blame(error) is Blame.MACHINE
    assert "lower extract.flow_batch" in sentence(error)


@pytest.mark.parametrize(
    "error",
    [
        *map(of_errno, (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)),
        *map(of_errno, (errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOLCK)),
        OSError("[Errno 28] No space left on device"),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
        RuntimeError("unable to write to file </torch_1>: No space left on device (28)"),
    ],
    ids=said,
)
def test_a_disk_is_the_machines_and_a_new_process_helps_nothing(error: OSError) -> None:
    assert blame(error) is Blame.MACHINE
    assert str(error) in sentence(error)


def test_a_library_that_cannot_be_loaded_is_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_extension.so").write_bytes(b"no ELF")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as imported:
        importlib.import_module("broken_extension")
    with pytest.raises(OSError, match="shared object") as opened:
        ctypes.CDLL("libactionrec-nowhere.so")
    assert blame(imported.value) is blame(opened.value) is Blame.MACHINE


def raised_by(work: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever it is
        work()
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        raised_by(lambda: torch.zeros(2, 3) @ torch.zeros(2, 3)),
        raised_by(lambda: torch.zeros(2).expand(3)),
        raised_by(lambda: cv2.resize(np.zeros((8, 8), np.uint8), (0, 0))),
        raised_by(lambda: pickle.loads(b"")),
        raised_by(lambda: np.zeros(3)[5]),
        RuntimeError("Expected all tensors to be on the same device, but found at least two, cuda:0 and cpu!"),
        ValueError("a CUDA error is only spoken of"),
        ZeroDivisionError("division by zero"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError("read past the end"),
        OSError(errno.ENXIO, "No such device or address", "/data/a/socket"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a "),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        torch.AcceleratorError("CUDA error: invalid configuration argument\nCUDA kernel errors might be"),
        RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
    ],
    ids=said,
)
def test_whatever_else_is_raised_over_a_video_is_the_videos(error: Exception) -> None:
    assert blame(error) is Blame.VIDEO


def test_what_an_exception_was_raised_from_counts() -> None:
    error = ValueError("no embedding")
    error.__cause__ = torch.AcceleratorError(ASSERT)
    error.__cause__.__cause__ = error  # a circle ends too
    assert blame(error) is Blame.PROCESS


def test_what_is_said_is_one_line() -> None:
    assert said(torch.AcceleratorError(ASSERT)).startswith("AcceleratorError: CUDA error: device-side assert")
    assert "\n" not in said(torch.AcceleratorError(ASSERT))
