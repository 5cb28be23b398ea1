"""On drawn groups the tables' interval holds the truth more often than plain percentiles do; the seed is fixed."""

from benchmarks.intervals import coverage


def test_five_groups() -> None:
    own, plain = coverage(5, 0.6, False, 400)
    assert plain < 0.88 < own
    own, plain = coverage(5, 0.6, True, 400)
    assert plain < 0.92 < own


def test_many_groups_change_little() -> None:
    own, plain = coverage(50, 0.6, False, 200)
    assert own >= plain > 0.9
