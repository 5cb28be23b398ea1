"""Which frames of a clip become its sequence: pure index arithmetic, in exact rationals.

Rationals because a clip of 29.97 frames/s meets segment borders and quotas at ratios such as 1001/30000, where a float
rounds to one side or the other; with them the same times give the same frames on every machine.

Notation: T frames, T - 1 pairs (pair k leads from frame k to frame k + 1), L frames sampled.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from actionrec import config
from actionrec.errors import Reason, VideoError

Indices = NDArray[np.int64]


def budget(duration_s: Fraction, frames: int, sampling: config.Sampling) -> int:
    """How many of T `frames` to sample (V.C): min(max_frames, ceil(frames_per_s * duration_s), T), at least 1."""
    wanted = math.ceil(_exact(sampling.frames_per_s) * duration_s)
    return max(1, min(sampling.max_frames, wanted, frames))


def sample(
    sampling: config.Sampling, times_s: Sequence[Fraction], duration_s: Fraction, motion_px: Sequence[float]
) -> Indices:
    """The sampled frames' indices, int64 [L], strictly increasing; L is the budget, of which `constant` may use less.

    times_s [T]: when each frame is shown; begins at 0, strictly increasing, ends before duration_s.
    motion_px [T - 1]: mean displacement of each pair; read by `adaptive` only.

    Raises ValueError for times or motion that break these promises, VideoError(NON_FINITE) for NaN or infinite motion.
    """
    _check(times_s, duration_s, motion_px)
    frames = budget(duration_s, len(times_s), sampling)
    match sampling.method:
        case "constant":
            return constant(len(times_s), frames)
        case "uniform":
            return spread(len(times_s), frames)
        case "adaptive":
            return adaptive(times_s, duration_s, motion_px, frames, _exact(sampling.segment_s))


def constant(total: int, frames: int) -> Indices:
    """Every n-th frame from the first, n = ceil(total / frames): the smallest step that keeps within the budget.

    The step is constant, so the budget is met exactly only where it divides the clip: 7 of 10 gives 0, 2, 4, 6, 8.
    """
    return np.arange(0, total, math.ceil(Fraction(total, frames)), dtype=np.int64)


def spread(total: int, frames: int) -> Indices:
    """`frames` of `total` frames, evenly: floor(j * total / frames), so no two steps differ by more than one frame."""
    return np.arange(frames, dtype=np.int64) * total // frames


def adaptive(
    times_s: Sequence[Fraction], duration_s: Fraction, motion_px: Sequence[float], frames: int, segment_s: Fraction
) -> Indices:
    """`frames` frames, more of them where the picture moves more (IV.F).

    The clip is cut every segment_s seconds by frame time. A frame's motion is that of the pair that ends in it; frame 0
    shares pair 0. A segment weighs its frames' mean motion x the seconds it covers, receives its share of the budget
    (`apportion`), and spends it evenly. Segments without frames (a gap in the times) take no part.

    In a still clip no segment outweighs another: the step is constant over the whole clip, exactly where the budget
    divides the frames and to within one frame elsewhere.
    """
    if not any(motion_px):
        return spread(len(times_s), frames)
    motion = [Fraction(value) for value in (motion_px[0], *motion_px)]  # one for each frame
    weights, lengths_s, sizes = [], [], []
    for segment, members in groupby(range(len(times_s)), key=lambda frame: times_s[frame] // segment_s):
        inside = [motion[frame] for frame in members]
        length_s = min((segment + 1) * segment_s, duration_s) - segment * segment_s
        weights.append(sum(inside, Fraction(0)) / len(inside) * length_s)
        lengths_s.append(length_s)
        sizes.append(len(inside))
    counts = apportion(frames, weights, lengths_s, sizes)
    firsts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate(
        [first + spread(size, count) for first, size, count in zip(firsts, sizes, counts, strict=True)]
    )


def apportion(seats: int, weights: Sequence[Fraction], lengths_s: Sequence[Fraction], caps: Sequence[int]) -> list[int]:
    """Seats for each segment in proportion to its weight, at most its cap; they add up to `seats` (at most sum(caps)).

    Largest remainder. Segments that would exceed their cap are held at it, and all other seats are apportioned afresh
    among the rest, so that those stay within one seat of proportional; by length where the rest weighs nothing.
    """
    counts = list(caps)
    open_segments = list(range(len(caps)))
    while open_segments:
        shares = [weights[segment] for segment in open_segments]
        if not any(shares):
            shares = [lengths_s[segment] for segment in open_segments]
        for segment, count in zip(open_segments, largest_remainder(seats, shares), strict=True):
            counts[segment] = count
        over = [segment for segment in open_segments if counts[segment] > caps[segment]]
        if not over:
            break
        for segment in over:
            counts[segment] = caps[segment]
            seats -= caps[segment]
            open_segments.remove(segment)
    return counts


def largest_remainder(seats: int, shares: Sequence[Fraction]) -> list[int]:
    """Whole seats in proportion to the shares, each within one of its quota; of equal remainders the earlier wins."""
    total = sum(shares, Fraction(0))
    quotas = [seats * share / total for share in shares]
    counts = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda index: counts[index] - quotas[index])  # sorted() is stable
    for index in by_remainder[: seats - sum(counts)]:
        counts[index] += 1
    return counts


def _exact(value: float) -> Fraction:
    """A knob as it was written: 0.1 is 1/10, not the binary fraction nearest to it."""
    return Fraction(str(value))


def _check(times_s: Sequence[Fraction], duration_s: Fraction, motion_px: Sequence[float]) -> None:
    if len(motion_px) != len(times_s) - 1:
        raise ValueError(f"motion is given for {len(motion_px)} pairs, but there are {len(times_s)} frames")
    if times_s[0] != 0 or times_s[-1] >= duration_s or any(later <= earlier for earlier, later in pairwise(times_s)):
        raise ValueError(f"frame times must rise strictly from 0 and end before the duration, {duration_s} s")
    if not all(math.isfinite(value) for value in motion_px):
        raise VideoError(Reason.NON_FINITE, "the mean displacement of a pair of frames is not finite")
    if any(value < 0 for value in motion_px):
        raise ValueError("a mean displacement is negative")
