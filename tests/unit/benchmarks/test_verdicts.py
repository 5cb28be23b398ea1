"""What is said of two arms follows from their paired hits, by a rule that can say each of its three words."""

import math

import pytest

from benchmarks.verdicts import Comparison, Outcome, difference, table

VIDEOS = [f"{group}{number}" for group in "ABCDEFGH" for number in (1, 2)]
GROUPS = {video: video[0] for video in VIDEOS}


def outcome(right: set[str]) -> Outcome:
    return Outcome({video: float(video in right) for video in VIDEOS}, {})


ALL, NONE, FIRST = outcome(set(VIDEOS)), outcome(set()), outcome({video for video in VIDEOS if video.endswith("1")})
ONE = outcome({"A1"})


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([ALL, FIRST, ALL], [NONE, NONE, NONE], "agrees"),
        ([NONE, NONE, NONE], [ALL, FIRST, ALL], "disagrees"),
        ([ALL, ALL, ALL], [ALL, ALL, ALL], "within the spread"),
        ([ALL, NONE, ALL], [NONE, ALL, NONE], "within the spread"),  # the seeds contradict each other
        ([ONE, ONE, ONE], [NONE, NONE, NONE], "within the spread"),  # one group of eight: not all resamples hold it
        ([ALL], [NONE], "agrees"),  # a single seed has no spread
    ],
)
def test_the_verdict_needs_seeds_and_groups(first: list[Outcome], second: list[Outcome], verdict: str) -> None:
    assert difference(first, second, GROUPS).verdict() == verdict


def test_the_difference_is_paired_by_seed() -> None:
    found = difference([ALL, FIRST, FIRST], [FIRST, NONE, FIRST], GROUPS)
    assert found.mean == pytest.approx(1 / 3)  # 0.5, 0.5, 0
    assert found.sd == pytest.approx(math.sqrt(1 / 12))
    assert found.low == found.high == pytest.approx(1 / 3)  # every group gains the same


def test_one_group_has_no_interval_and_no_verdict() -> None:
    found = difference([ALL], [NONE], dict.fromkeys(VIDEOS, "A"))
    assert (found.low, found.high, found.verdict()) == (None, None, "within the spread")


def test_arms_judged_on_other_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="other videos"):
        difference([ALL], [Outcome({"A1": 1.0}, {})], GROUPS)
    with pytest.raises(ValueError, match="other videos"):
        difference([ALL], [NONE, NONE], GROUPS)


def test_a_row_of_the_table_says_all_of_it() -> None:
    row = Comparison("b", "RNN", "mean", [ALL, FIRST], [FIRST, FIRST], GROUPS).row()
    assert row == [
        *("b", "RNN: 75.0 ± 35.4", "mean: 50.0 ± 0.0", "+25.0 ± 35.4", "+25.0 to +25.0", "16 in 8"),
        "within the spread",
    ]
    assert table(("x", "y"), [["1", "2"]]) == "| x | y |\n| --- | --- |\n| 1 | 2 |"
