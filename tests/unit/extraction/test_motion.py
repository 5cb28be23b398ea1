"""Motion features of one clip: whose fault an exception is."""

from typing import Any

import pytest

from actionrec.errors import Reason, VideoError
from actionrec.extraction.motion import motion_row


def raising(error: Exception) -> Any:
    def embedder(flow: object, frame_index: object) -> None:
        raise error

    return embedder


def test_an_exception_over_one_clip_is_that_clips() -> None:
    refused = RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED")
    with pytest.raises(VideoError, match="CUDNN_STATUS_NOT_SUPPORTED") as caught:
        motion_row(raising(refused), {}, [0], [0.0])
    assert caught.value.reason is Reason.COMPUTE


def test_the_machines_fault_is_raised_as_it_is() -> None:
    with pytest.raises(MemoryError):
        motion_row(raising(MemoryError("Unable to allocate 1.00 GiB")), {}, [0], [0.0])
