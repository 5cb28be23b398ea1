"""The motion CNN's input: ten flows in a row, as 20 channels (III.B; Simonyan & Zisserman 2014).

Notation: P flows of H x W vectors, N sampled frames, L flows in a stack.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STACK_LENGTH = 10


def stack_starts(pairs: int, frame_indices: Sequence[int], length: int = STACK_LENGTH) -> NDArray[np.int64]:
    """The first flow of each sampled frame's stack, int64 [N]: the frame's own, at most P - L, at least 0.

    With P = 30 and L = 10, the stacks of frames 0, 20, 21 and 30 begin at flows 0, 20, 20 and 20.
    """
    return np.minimum(np.asarray(frame_indices, dtype=np.int64), max(0, pairs - length))


def stacks_in(pairs: int, length: int = STACK_LENGTH) -> int:
    """How many different stacks a clip of P flows has: they begin at flow 0 and at each next one, up to P - L."""
    return max(1, pairs - length + 1)


def stack(flow_px: NDArray[np.float32], frame_index: int, length: int = STACK_LENGTH) -> NDArray[np.float32]:
    """The flows that follow a frame, float32 [2L, H, W] in pixels: x and y of the first, x and y of the second, ...

    flow_px [P, H, W, 2], x before y. A clip of fewer than L flows repeats its last; one without flows gives zeros.
    """
    pairs, height, width, _ = flow_px.shape
    if pairs == 0:
        return np.zeros((2 * length, height, width), np.float32)
    start = stack_starts(pairs, [frame_index], length)[0]
    flows = flow_px[np.minimum(start + np.arange(length), pairs - 1)]
    return np.ascontiguousarray(flows.transpose(0, 3, 1, 2), np.float32).reshape(2 * length, height, width)
