"""Two-stream's choice of frames and its fusion, by hand-computed values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrec.learning.two_stream import evenly, mean

NAN = float("nan")
# Two streams, three videos, two classes: the second video lacks the second stream, the third both.
SCORES_SNC = np.array([[[0.6, 0.8], [0.3, 0.4], [NAN, NAN]], [[1.0, 0.0], [NAN, NAN], [NAN, NAN]]])


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (9, 5, [0, 2, 4, 6, 8]),
        (10, 4, [0, 3, 6, 9]),
        (10, 3, [0, 5, 9]),  # 4.5 is as near to 5 as to 4
        (180, 2, [0, 179]),
        (25, 25, list(range(25))),
        (3, 25, [0, 1, 2]),
        (1, 25, [0]),
        (7, 1, [0]),
        (0, 25, []),
    ],
)
def test_steps_by_hand(length: int, count: int, expected: list[int]) -> None:
    found = evenly(length, count)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@given(st.integers(2, 10**6), st.integers(2, 1000))
def test_steps_increase_from_end_to_end_and_are_equally_far_apart(length: int, count: int) -> None:
    found = evenly(length, count)
    assert len(found) == min(length, count)
    assert found[0] == 0 and found[-1] == length - 1
    spacing = np.diff(found)
    assert spacing.min() >= 1 and spacing.max() - spacing.min() <= 1


def test_mean_is_of_the_streams_that_a_video_has() -> None:
    np.testing.assert_allclose(mean(SCORES_SNC), [[0.8, 0.4], [0.3, 0.4], [NAN, NAN]])


def test_nothing_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    mean(SCORES_SNC)
    assert not recwarn.list


def test_a_row_that_is_partly_nan_is_not_taken_for_a_stream_that_is_lacking() -> None:
    broken = np.array([[[0.5, NAN]], [[0.5, 0.5]]])
    assert np.isnan(mean(broken)).any()


def test_other_videos_change_no_bit() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(5), size=(3, 20))
    together = mean(scores)
    for video in range(20):
        np.testing.assert_array_equal(mean(scores[:, video : video + 1])[0], together[video])
