"""Flow in a tenth of its size: each pair as one grey JPEG, x plane over y plane, 8 bits between -bound and +bound.

A displacement d is stored as the level 128 + 127 d / bound, so 0 is a level of its own and a still clip decodes to
exactly 0. The bound is the same for all clips: a pair can be stored as soon as it is computed, and what is faster is
clipped. A bound of each clip's own was tried, and gained little. benchmarks/flow.py prints bytes and error.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from actionrec.errors import InputError, Reason, VideoError

CODEC = "jpeg-gray-xy-1"  # stored beside the flow; a new layout takes a new name
ZERO_LEVEL, LEVELS = 128, 127
LONGEST_SIDE = 4096  # as config has it for flow.stored_width and flow.stored_height


def encode(
    flow_px: NDArray[np.float32], *, bound_px: float, quality: int, stored_width: int, stored_height: int
) -> list[bytes]:
    """Flow float32 [P, H, W, 2] in pixels as P JPEG files of stored_width x (2 stored_height).

    Raises VideoError(NON_FINITE) where the flow holds NaN or infinity.
    """
    if not np.isfinite(flow_px).all():
        raise VideoError(Reason.NON_FINITE, "the flow holds NaN or infinity")
    return [_encode_pair(pair, bound_px, quality) for pair in resize(flow_px, stored_width, stored_height)]


def decode(frames: Sequence[bytes], bound_px: float, height: int, width: int) -> NDArray[np.float32]:
    """The flow that was stored, float32 [P, height, width, 2] in pixels of the clip, within +-bound_px.

    Raises InputError for a bound or a size that no encoder wrote, and for bytes that are not a JPEG of that size; its
    header is read before anything is allocated for it.
    """
    if not (math.isfinite(bound_px) and bound_px > 0):
        raise InputError(f"Stored flow has the bound {bound_px} px; extract it again.")
    return levels(frames, height, width) * np.float32(bound_px / LEVELS)


def levels(frames: Sequence[bytes], height: int, width: int) -> NDArray[np.int8]:
    """The stored levels, int8 [P, height, width, 2] from -127 to 127, of which 127 is the bound. Errors as `decode`."""
    check_size(height, width)
    for data in frames:
        _check_header(data, height, width)
    found = np.empty((len(frames), height, width, 2), np.int8)
    for out, data in zip(found, frames, strict=True):
        planes = np.clip(_decode_pair(data, height, width).astype(np.int16) - ZERO_LEVEL, -LEVELS, LEVELS)
        out[..., 0], out[..., 1] = planes[:height], planes[height:]
    return found


def check_size(height: int, width: int) -> None:
    """InputError for a size that no encoder wrote, before anything is allocated by it."""
    if not (0 < height <= LONGEST_SIDE and 0 < width <= LONGEST_SIDE):
        raise InputError(f"Stored flow has the size {width}x{height}; extract it again.")


def resize(flow_px: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Flow [P, H, W, 2] averaged by area to [P, height, width, 2]; displacements stay in pixels of the clip."""
    if flow_px.shape[1:3] == (height, width):
        return flow_px
    resized = np.empty((len(flow_px), height, width, 2), np.float32)
    for pair, out in zip(flow_px, resized, strict=True):
        out[:] = cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA)
    return resized


def _encode_pair(pair_px: NDArray[np.float32], bound_px: float, quality: int) -> bytes:
    scaled = np.rint(np.clip(pair_px.astype(np.float32), -bound_px, bound_px) * (LEVELS / bound_px))
    levels = (scaled + ZERO_LEVEL).astype(np.uint8)
    planes = np.concatenate((levels[..., 0], levels[..., 1]))
    done, data = cv2.imencode(".jpg", planes, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:  # without memory OpenCV raises nothing, and returns what it had so far
        raise MemoryError(f"OpenCV could not encode a JPEG of {planes.shape[1]}x{planes.shape[0]}")
    return data.tobytes()


def _check_header(data: bytes, height: int, width: int) -> None:
    size = _jpeg_size(data)
    if size != (2 * height, width):
        found = f"{size[1]}x{size[0]}" if size else "no JPEG"
        raise InputError(f"Stored flow should be a JPEG of {width}x{2 * height} but is {found}; extract it again.")


def _decode_pair(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    try:
        planes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        planes = None
    if planes is None or planes.shape != (2 * height, width):
        raise InputError(f"Stored flow of {width}x{height} is a damaged JPEG; extract it again.")
    return planes.astype(np.uint8, copy=False)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from a JPEG's start-of-frame segment, or None where there is none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in (0xC0, 0xC1, 0xC2):  # baseline, extended, progressive
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
