"""What the tables say of a difference."""

import pytest

from actionrec.show.evaluation import figure, verdict


@pytest.mark.parametrize(
    ("low", "high", "too_few", "said"),
    [
        (0.01, 0.2, False, "better"),
        (-0.2, -0.01, False, "worse"),
        (-0.01, 0.2, False, "cannot be told"),
        (0.0, 0.2, False, "cannot be told"),
        (None, None, False, "cannot be told"),
        (0.01, 0.2, True, "cannot be told"),
    ],
)
def test_a_verdict_follows_the_interval(low: float | None, high: float | None, too_few: bool, said: str) -> None:
    assert verdict(low, high, too_few) == said


def test_groups_that_all_agree_have_no_interval() -> None:
    """100 % of a few groups is no proof of 100 %."""
    row = {"top1": 1.0, "top1_sd": None, "top1_low": 1.0, "top1_high": 1.0, "seeds": [0]}
    assert figure(row, "top1") == "100.0%"
    assert figure(row | {"top1_low": 0.5}, "top1") == "100.0% (95 % interval 50.0% to 100.0%)"
