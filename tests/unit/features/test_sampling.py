"""Goldens worked out by hand, then the promises as properties over generated clips."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrec import config
from actionrec.errors import Reason, VideoError
from actionrec.features.sampling import apportion, budget, largest_remainder, sample

PAPER = config.Sampling()
MOTION = st.floats(0, 100, allow_subnormal=False)


def steady(frames, rate_hz=Fraction(25)):
    """Times of a clip at a constant rate, and its duration."""
    return [Fraction(k) / rate_hz for k in range(frames)], Fraction(frames) / rate_hz


def knobs(**changes):
    return dataclasses.replace(PAPER, **changes)


@st.composite
def clips(draw):
    """A clip of variable frame rate with motion: (sampling, times_s, duration_s, motion_px)."""
    gaps = draw(st.lists(st.fractions(Fraction(1, 120), Fraction(3, 2), max_denominator=240), min_size=1, max_size=80))
    times_s = [sum(gaps[:k], Fraction(0)) for k in range(len(gaps))]
    motion = draw(st.lists(st.just(0.0) | MOTION, min_size=len(gaps) - 1, max_size=len(gaps) - 1))
    sampling = knobs(
        max_frames=draw(st.integers(1, 60)),
        frames_per_s=draw(st.sampled_from([0.1, 2.0, 5.0, 29.97])),
        segment_s=draw(st.sampled_from([0.3, 1.0, 2.5])),
    )
    return sampling, times_s, sum(gaps, Fraction(0)), motion


@pytest.mark.parametrize(
    ("duration_s", "frames", "expected"),
    [
        (Fraction(36), 900, 180),  # the paper's clip
        (Fraction(60), 1500, 180),
        (Fraction(2), 50, 10),
        (Fraction(51, 25), 51, 11),  # 10.2, rounded up
        (Fraction(1001, 30000) * 30, 30, 6),  # 29.97 frames/s: 5.005
        (Fraction(1, 25), 1, 1),
        (Fraction(30), 4, 4),  # never more than there are
    ],
)
def test_budget_is_the_papers(duration_s, frames, expected):
    assert budget(duration_s, frames, PAPER) == expected


def test_a_rate_is_taken_as_written():
    assert budget(Fraction(30), 900, knobs(frames_per_s=0.1)) == 3  # the float 0.1 itself would give 4


def test_constant_and_uniform_by_hand():
    times_s, duration_s = steady(13, Fraction(10))  # budget: ceil(5 * 1.3) = 7
    still = [0.0] * 12
    assert sample(knobs(method="constant"), times_s, duration_s, still).tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert sample(knobs(method="uniform"), times_s, duration_s, still).tolist() == [0, 1, 3, 5, 7, 9, 11]
    tight = knobs(method="constant", max_frames=6)  # step ceil(13 / 6) = 3
    assert sample(tight, times_s, duration_s, still).tolist() == [0, 3, 6, 9, 12]


def test_adaptive_by_hand():
    # 3 s at 4 frames/s, budget 6. Frame motions: 1 1 1 1 | 2 2 2 2 | 3 3 3 3, so quotas 1, 2 and 3
    times_s, duration_s = steady(12, Fraction(4))
    motion = [1.0] * 3 + [2.0] * 4 + [3.0] * 4
    assert sample(knobs(max_frames=6), times_s, duration_s, motion).tolist() == [0, 4, 6, 8, 9, 10]


def test_a_segment_is_capped_and_its_excess_goes_on_in_proportion():
    # Budget 8 of 12: quotas 8/102, 8/102 * 1 and 8 * 100/102 -> the last is capped at its 4 frames, 4 remain for 1 : 1
    times_s, duration_s = steady(12, Fraction(4))
    motion = [1.0] * 3 + [1.0] * 4 + [100.0] * 4
    assert sample(knobs(max_frames=8), times_s, duration_s, motion).tolist() == [0, 2, 4, 6, 8, 9, 10, 11]


def test_excess_goes_by_length_where_nothing_else_moves():
    # 2.5 s at 4 frames/s, budget 7: only the first segment moves and is full at 4; 3 remain for lengths 1 and 1/2
    times_s, duration_s = steady(10, Fraction(4))
    motion = [1.0] * 3 + [0.0] * 6
    assert sample(knobs(max_frames=7), times_s, duration_s, motion).tolist() == [0, 1, 2, 3, 4, 6, 8]


def test_a_short_last_segment_weighs_less():
    # 1.5 s at 4 frames/s, the same motion throughout: weights 1 and 1/2 share 3
    times_s, duration_s = steady(6, Fraction(4))
    assert sample(knobs(max_frames=3), times_s, duration_s, [2.0] * 5).tolist() == [0, 2, 4]


def test_pair_zero_counts_for_frames_zero_and_one():
    # 2 s at 2 frames/s. Frame motions 6 6, then 0 12: means 6 and 6. With frame 0 still they would be 3 and 6
    times_s, duration_s = steady(4, Fraction(2))
    assert sample(knobs(max_frames=3), times_s, duration_s, [6.0, 0.0, 12.0]).tolist() == [
        0,
        1,
        2,
    ]  # a tie: the earlier


@pytest.mark.parametrize(
    ("seats", "shares", "expected"),
    [(10, [1, 1, 1], [4, 3, 3]), (3, [1, 2, 3], [1, 1, 1]), (5, [0, 1], [0, 5]), (4, [7, 2, 1], [3, 1, 0])],
)
def test_largest_remainder_by_hand(seats, shares, expected):
    assert largest_remainder(seats, [Fraction(share) for share in shares]) == expected


def test_a_still_clip_at_25_hz_is_every_fifth_frame():
    times_s, duration_s = steady(900)
    assert sample(PAPER, times_s, duration_s, [0.0] * 899).tolist() == list(range(0, 900, 5))


@given(clips())
def test_the_budget_is_met_strictly_increasing_and_in_range(clip):
    sampling, times_s, duration_s, motion = clip
    for method in ("adaptive", "uniform"):
        index = sample(dataclasses.replace(sampling, method=method), times_s, duration_s, motion)
        assert index.dtype == np.int64
        assert len(index) == budget(duration_s, len(times_s), sampling)
        assert index[0] >= 0 and index[-1] < len(times_s)
        assert (np.diff(index) > 0).all()


@given(clips())
def test_constant_keeps_its_step_within_the_budget(clip):
    sampling, times_s, duration_s, motion = clip
    index = sample(dataclasses.replace(sampling, method="constant"), times_s, duration_s, motion)
    allowed = budget(duration_s, len(times_s), sampling)
    step = math.ceil(len(times_s) / allowed)
    assert index.tolist() == list(range(0, len(times_s), step))
    assert len(index) <= allowed


@given(clips())
def test_a_still_clip_has_a_constant_step_to_within_one_frame(clip):
    sampling, times_s, duration_s, motion = clip
    index = sample(sampling, times_s, duration_s, [0.0] * len(motion))
    steps = np.diff(index)
    assert index[0] == 0
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


@given(clips(), st.integers(-20, 20))
def test_only_relative_motion_matters(clip, exponent):
    sampling, times_s, duration_s, motion = clip
    scaled = [math.ldexp(value, exponent) for value in motion]  # by a power of two: exact
    assert (sample(sampling, times_s, duration_s, scaled) == sample(sampling, times_s, duration_s, motion)).all()


@given(clips(), st.fractions(Fraction(1, 7), 7, max_denominator=30))
def test_only_relative_time_matters(clip, factor):
    sampling, times_s, duration_s, motion = clip
    frames = budget(duration_s, len(times_s), sampling)
    stretched = knobs(segment_s=str(Fraction(str(sampling.segment_s)) * factor), max_frames=frames, frames_per_s=1000.0)
    plain = dataclasses.replace(sampling, max_frames=frames, frames_per_s=1000.0)
    longer = sample(stretched, [time * factor for time in times_s], duration_s * factor, motion)
    assert (longer == sample(plain, times_s, duration_s, motion)).all()


@given(st.data())
def test_uncapped_segments_stay_within_one_of_proportional(data):
    caps = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=12))
    sized = {"min_size": len(caps), "max_size": len(caps)}
    weights = data.draw(st.lists(st.fractions(0, 50, max_denominator=97), **sized))
    lengths_s = data.draw(st.lists(st.fractions(Fraction(1, 50), 1, max_denominator=50), **sized))
    seats = data.draw(st.integers(1, sum(caps)))
    counts = apportion(seats, weights, lengths_s, caps)
    assert sum(counts) == seats
    assert all(0 <= count <= cap for count, cap in zip(counts, caps, strict=True))
    # One rate, in seats for each unit of share, puts every segment within one seat; a full one may deserve more
    rows = list(zip(weights, counts, caps, strict=True))
    if all(count == cap for weight, count, cap in rows if weight):  # what moves is full: the rest shares by length
        rows = [(length, *row[1:]) for length, row in zip(lengths_s, rows, strict=True) if not row[0]]
    else:
        assert all(count == 0 for weight, count, _ in rows if not weight)
        rows = [row for row in rows if row[0]]
    lowest = max((Fraction(count - 1) / share for share, count, _ in rows), default=-math.inf)
    highest = min((Fraction(count + 1) / share for share, count, cap in rows if count < cap), default=math.inf)
    assert lowest < highest


def test_times_on_a_segment_border_belong_to_the_later_segment():
    # 30000/1001 frames/s: no float lands on these borders exactly. Segments of 1001/1000 s hold 30 frames each.
    times_s, duration_s = steady(60, Fraction(30000, 1001))
    motion = [1.0] * 29 + [0.0] * 30
    index = sample(knobs(segment_s=1.001, max_frames=10), times_s, duration_s, motion)
    assert index.tolist() == list(range(0, 30, 3))  # all in the first segment, whose 30 frames alone move


def test_a_gap_in_the_times_takes_no_part():
    times_s = [Fraction(0), Fraction(1, 2), Fraction(10), Fraction(21, 2)]
    assert sample(knobs(max_frames=2), times_s, Fraction(11), [1.0, 1.0, 1.0]).tolist() == [0, 2]


def test_one_frame_and_fewer_frames_than_the_budget():
    assert sample(PAPER, [Fraction(0)], Fraction(1, 25), []).tolist() == [0]
    times_s, duration_s = steady(4, Fraction(1))
    assert sample(PAPER, times_s, duration_s, [0.0, 9.0, 0.5]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_motion_that_is_not_finite_fails_the_video(value):
    times_s, duration_s = steady(3)
    with pytest.raises(VideoError, match="not finite") as caught:
        sample(PAPER, times_s, duration_s, [1.0, value])
    assert caught.value.reason is Reason.NON_FINITE


@pytest.mark.parametrize(
    ("times_s", "duration_s", "motion"),
    [
        ([0, 1], 2, []),
        ([0, 1], 2, [1.0, 1.0]),
        ([0, 1], 2, [-1.0]),
        ([0, 0], 2, [1.0]),
        ([1, 2], 3, [1.0]),
        ([0, 2], 2, [1.0]),
        ([], 1, []),
    ],
)
def test_broken_promises_are_refused(times_s, duration_s, motion):
    with pytest.raises(ValueError):  # noqa: PT011 - each case breaks another promise
        sample(PAPER, [Fraction(time) for time in times_s], Fraction(duration_s), motion)
