"""How good scores are: ranks, top-k accuracy, confusion, spread over seeds, and intervals over groups.

Axes: N videos, C classes, G groups. A row of NaN in scores [N, C] is a video without a prediction, which counts as
wrong. Of equal scores the class that comes first wins.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]  # [N, C]
Classes = NDArray[np.int64]  # [N], a class each


def ranks(scores_NC: Scores, target_N: Classes) -> NDArray[np.int64]:
    """How many classes come before the true one, int64 [N]: 0 is right, C is a video without a prediction."""
    classes = scores_NC.shape[1]
    own = np.take_along_axis(scores_NC, target_N[:, None], axis=1)
    earlier = np.arange(classes) < target_N[:, None]
    place = ((scores_NC > own) | ((scores_NC == own) & earlier)).sum(axis=1)
    found: NDArray[np.int64] = np.where(np.isnan(own[:, 0]), classes, place)
    return found


def best(scores_C: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """The k classes of the highest scores, the best first, in the order that `ranks` counts by."""
    return np.argsort(-scores_C, kind="stable")[:k]


def says_something(k: int, classes: int) -> bool:
    """Whether top-k accuracy can be anything but 1."""
    return k < classes


def top_k(scores_NC: Scores, target_N: Classes, k: int) -> float | None:
    """The share of videos whose class is among the k best; None where C <= k, as that would be 1 for anything."""
    if not says_something(k, scores_NC.shape[1]):
        return None
    return float((ranks(scores_NC, target_N) < k).mean())


def confusion(scores_NC: Scores, target_N: Classes) -> NDArray[np.int64]:
    """Counts, int64 [C, C]: row the true class, column the predicted one. Videos without a prediction are left out."""
    classes = scores_NC.shape[1]
    predicted = ~np.isnan(scores_NC).any(axis=1)
    pairs = target_N[predicted] * classes + scores_NC[predicted].argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion_CC: NDArray[np.int64], target_N: Classes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(videos [C], of those right [C]), int64. Videos without a prediction count among the former."""
    return np.bincount(target_N, minlength=len(confusion_CC)), confusion_CC.diagonal().copy()


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and standard deviation of a sample (n - 1): None for one value, which has no spread."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def interval(
    hit_N: NDArray[np.float64], groups: Sequence[str], resamples: int, seed: int, outside: float | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of the mean of `hit_N` under resampling of whole groups, with replacement.

    Clips of a group are near copies, so a resample of single videos would promise too much. `hit_N` may hold shares of
    seeds, or differences. Of the resampled means such percentiles are taken as make the interval of a plain mean of G
    groups as wide as Student's (Hesterberg 2015, "expanded percentile"): 2.5 and 97.5 % are too narrow for few groups.
    benchmarks/intervals.py measures what that is worth. Where all groups have the same mean resampling shows no
    spread, and the interval is that mean. None for fewer than two groups. `outside` is the share of resampled means
    beyond either end, by default that of `tail`.
    """
    names, group_N = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    if len(names) < 2:
        return None
    videos_G = np.bincount(group_N).astype(np.float64)
    hits_G = np.bincount(group_N, weights=hit_N)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for resample in range(resamples):  # one draw of G at a time: all of them at once would take resamples x G numbers
        drawn = random.integers(len(names), size=len(names))
        means[resample] = hits_G[drawn].sum() / videos_G[drawn].sum()
    share = tail(len(names)) if outside is None else outside
    low, high = np.quantile(means, [share, 1 - share])
    return float(low), float(high)


def tail(groups: int) -> float:
    """The share of resampled means beyond either end of `interval`: 0.025 for many groups, less for few."""
    from scipy.stats import norm
    from scipy.stats import t as student

    return float(norm.cdf(-np.sqrt(groups / (groups - 1)) * student.ppf(0.975, groups - 1)))
