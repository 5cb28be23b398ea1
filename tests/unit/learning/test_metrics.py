"""Accuracy, confusion and intervals against numbers found by hand, by loops, and by scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from actionrec.learning import metrics

NAN = np.nan
SCORES = np.array([[3.0, 1, 2], [0, 0, 0], [1, 2, 2], [NAN, NAN, NAN], [-1, -3, -2]])
TARGET = np.array([0, 1, 2, 0, 1])


def random_scores(videos: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return random.normal(size=(videos, classes)), random.integers(classes, size=videos)


def test_ranks_by_hand() -> None:
    """Ties go to the class that comes first; a video without a prediction comes after every class."""
    assert metrics.ranks(SCORES, TARGET).tolist() == [0, 1, 1, 3, 2]


def test_ranks_are_places_in_best() -> None:
    """Also where scores are equal, or minus infinity for a class that was not learnt."""
    scores = np.random.default_rng(1).integers(4, size=(200, 7)).astype(float)
    scores[:, 2] = -np.inf
    target = np.random.default_rng(2).integers(7, size=200)
    places = [metrics.best(row, 7).tolist().index(true) for row, true in zip(scores, target, strict=True)]
    assert metrics.ranks(scores, target).tolist() == places


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_is_scikit_learn_s(k: int) -> None:
    scores, target = random_scores(300, 9)
    expected = sklearn_metrics.top_k_accuracy_score(target, scores, k=k, labels=range(9))
    assert metrics.top_k(scores, target, k) == pytest.approx(expected)


def test_a_video_without_prediction_is_wrong_at_every_k() -> None:
    assert metrics.top_k(SCORES, TARGET, 1) == 1 / 5
    assert metrics.top_k(SCORES, TARGET, 2) == 3 / 5


@pytest.mark.parametrize(("classes", "says"), [(2, False), (5, False), (6, True)])
def test_top_5_is_none_where_it_would_be_1_for_anything(classes: int, says: bool) -> None:
    assert (metrics.top_k(*random_scores(20, classes), 5) is not None) == says


def test_confusion_is_scikit_learn_s_and_leaves_out_the_unpredicted() -> None:
    scores, target = random_scores(100, 4)
    expected = sklearn_metrics.confusion_matrix(target, scores.argmax(axis=1), labels=range(4))
    assert (metrics.confusion(scores, target) == expected).all()
    assert metrics.confusion(SCORES, TARGET).tolist() == [[1, 0, 0], [2, 0, 0], [0, 1, 0]]


def test_per_class_counts_the_unpredicted_among_the_videos() -> None:
    videos, right = metrics.per_class(metrics.confusion(SCORES, TARGET), TARGET)
    assert videos.tolist() == [2, 2, 1] and right.tolist() == [1, 0, 0]


def test_the_deviation_is_that_of_a_sample_and_none_for_one() -> None:
    assert metrics.mean_sd([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert metrics.mean_sd([0.7]) == (0.7, None)


def slow_interval(hits: list[float], groups: list[str], resamples: int, seed: int) -> tuple[float, float]:
    """Whole groups drawn with replacement, their videos laid out one by one."""
    members = {name: [hit for hit, group in zip(hits, groups, strict=True) if group == name] for name in groups}
    names, random, means = sorted(members), np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = [names[place] for place in random.integers(len(names), size=len(names))]
        means.append(np.mean([hit for name in drawn for hit in members[name]]))
    outside = 100 * metrics.tail(len(names))
    return float(np.percentile(means, outside)), float(np.percentile(means, 100 - outside))


def test_the_interval_is_that_of_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    groups = [f"g{number}" for number in random.integers(12, size=60)]  # of unequal sizes
    hits = random.integers(3, size=60) / 2  # shares of two seeds
    fast = metrics.interval(hits, groups, 200, seed=3)
    assert fast == pytest.approx(slow_interval(hits.tolist(), groups, 200, seed=3))


def test_copies_inside_a_group_do_not_narrow_the_interval() -> None:
    """What a bootstrap of single videos would get wrong."""
    hits = np.random.default_rng(0).integers(2, size=30).astype(float)
    groups = [f"g{number:02d}" for number in range(30)]
    once = metrics.interval(hits, groups, 1000, seed=0)
    assert metrics.interval(np.repeat(hits, 50), list(np.repeat(groups, 50)), 1000, seed=0) == pytest.approx(once)


def test_the_interval_covers_the_normal_approximation() -> None:
    """Groups of one video: the deviation of a mean of n coins is sqrt(p q / n)."""
    hits = (np.arange(400) % 4 > 0).astype(float)
    found = metrics.interval(hits, [str(number) for number in range(400)], 4000, seed=0)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert found == pytest.approx((0.75 - half, 0.75 + half), abs=0.005)


def test_few_groups_widen_the_interval_as_students_t_does() -> None:
    """By hand for 5 groups: t of 4 degrees is 2.776; times sqrt(5 / 4) it is 3.104, beyond which lie 0.00095."""
    assert metrics.tail(5) == pytest.approx(0.000954, abs=1e-5)
    assert metrics.tail(10_000) == pytest.approx(0.025, abs=1e-4)


def test_one_group_has_no_interval() -> None:
    assert metrics.interval(np.ones(4), ["one"] * 4, 100, seed=0) is None
