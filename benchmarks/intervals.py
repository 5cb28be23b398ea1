"""How often the tables' 95 % interval holds the true value, on drawn groups of videos whose truth is known.

    python benchmarks/intervals.py [--trials 2000]

A trial draws G groups of 2 to 7 videos. A group has its own accuracy, from a beta distribution with the given mean and
a correlation of 0.2 between videos of a group; a difference is that of two networks that are equally good. The interval
is that of `learning.metrics`, as the tables use it, and beside it the percentiles 2.5 and 97.5 of the same resamples.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actionrec.learning import metrics

GROUPS, MEANS, CORRELATION, RESAMPLES = (3, 5, 7, 10, 20, 50), (0.6, 0.9), 0.2, 1000
Hits = NDArray[np.float64]


def drawn(groups: int, mean: float, paired: bool, rng: np.random.Generator) -> tuple[Hits, list[str]]:
    """Hits [N] of one network, or the difference of two, and each video's group."""
    odds = (1 - CORRELATION) / CORRELATION
    videos_G = rng.integers(2, 8, size=groups)
    accuracy_N = np.repeat(rng.beta(mean * odds, (1 - mean) * odds, size=groups), videos_G)
    first, second = (rng.random((2, len(accuracy_N))) < accuracy_N).astype(np.float64)
    return first - second if paired else first, [str(group) for group in np.repeat(np.arange(groups), videos_G)]


def coverage(groups: int, mean: float, paired: bool, trials: int, seed: int = 0) -> tuple[float, float]:
    """Shares of trials whose interval holds the truth: the tables' interval, and the plain percentiles.

    A trial without an interval, whose groups all agree, holds nothing.
    """
    rng, truth, held = np.random.default_rng(seed), 0.0 if paired else mean, np.zeros(2)
    plain_tail = 0.025
    for trial in range(trials):
        hits_N, names = drawn(groups, mean, paired, rng)
        for place, tail in enumerate((metrics.tail(groups), plain_tail)):
            found = metrics.interval(hits_N, names, RESAMPLES, trial, tail)
            held[place] += found is not None and found[0] <= truth <= found[1]
    own, plain = held / trials
    return float(own), float(plain)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args(arguments).trials
    print("| groups | of | mean | held by the interval | by plain percentiles |\n|---|---|---|---|---|")
    for groups in GROUPS:
        for paired in (False, True):
            for mean in MEANS:
                own, plain = coverage(groups, mean, paired, trials)
                kind = "a difference" if paired else "an accuracy"
                print(f"| {groups} | {kind} | {mean} | {100 * own:.1f} % | {100 * plain:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
