"""Two-stream's arithmetic (Simonyan & Zisserman 2014): which steps of a video are scored, and their mean over streams.

Axes: S streams, N videos, C classes. Scores are softmax outputs; a row of NaN is a stream that the video lacks.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def evenly(length: int, count: int) -> NDArray[np.int64]:
    """`count` of `length` steps with equal spacing in time, int64, strictly increasing (their section 4: 25 frames).

    The first and the last step are among them; of `count` 1 it is the first. Of no more than `count` steps, all.
    """
    intervals = min(count, length) - 1
    if intervals < 1:
        return np.arange(min(count, length))
    return (2 * np.arange(intervals + 1) * (length - 1) + intervals) // (2 * intervals)  # the nearest step, exactly


def mean(scores_SNC: Scores) -> Scores:
    """The mean over those streams that a video has, [N, C]; a row of NaN where it has none."""
    present_SN1 = _present(scores_SNC)
    total_NC, streams_N1 = np.where(present_SN1, scores_SNC, 0.0).sum(axis=0), present_SN1.sum(axis=0)
    found: Scores = np.where(streams_N1 > 0, total_NC / np.maximum(streams_N1, 1), np.nan)
    return found


def _present(scores_SNC: Scores) -> NDArray[np.bool_]:
    """[S, N, 1]. A row that is NaN only in part is no stream that is lacking, so it shows in what is made of it."""
    found: NDArray[np.bool_] = np.logical_not(np.isnan(scores_SNC).all(axis=2, keepdims=True))
    return found
