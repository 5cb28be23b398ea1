"""What two arms of an experiment come to: paired differences over seeds and test groups, a verdict, a table.

The rule was fixed before anything was measured. An arm is one way of doing it, judged once a seed on the same videos.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actionrec.learning.metrics import interval, mean_sd

RESAMPLES = 2000
RULE = (
    "agrees: the mean difference is positive and larger than its standard deviation over seeds, and the 95 % interval "
    "over test groups lies above 0; disagrees: the same below 0; else within the spread"
)


@dataclass(frozen=True)
class Outcome:
    """One arm and seed on the test videos."""

    hits: Mapping[str, float]  # video_id -> 1 right, 0 wrong
    notes: Mapping[str, float]  # what else is worth a column

    @property
    def top1(self) -> float:
        return float(np.mean(list(self.hits.values())))


@dataclass(frozen=True)
class Difference:
    """First arm minus second, in top-1; `sd` over seeds, `low` and `high` over groups of test videos, if there are."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None

    def verdict(self) -> str:
        if self.low is None or self.high is None or abs(self.mean) <= (self.sd or 0.0):
            return "within the spread"
        return "agrees" if self.low > 0 else "disagrees" if self.high < 0 else "within the spread"


def difference(first: Sequence[Outcome], second: Sequence[Outcome], groups: Mapping[str, str]) -> Difference:
    """Paired by seed and by video. ValueError where the two were not judged on the same videos and seeds."""
    videos = sorted(first[0].hits)
    if len(first) != len(second) or any(sorted(each.hits) != videos for each in (*first, *second)):
        raise ValueError("the two arms were judged on other videos or seeds")
    gain_SN = np.array([[a.hits[v] - b.hits[v] for v in videos] for a, b in zip(first, second, strict=True)])
    mean, sd = mean_sd([float(gain_N.mean()) for gain_N in gain_SN])
    low, high = interval(gain_SN.mean(axis=0), [groups[video] for video in videos], RESAMPLES, 0) or (None, None)
    return Difference(mean, sd, low, high)


@dataclass(frozen=True)
class Comparison:
    """A claim: the first arm is better than the second."""

    claim: str
    first: str
    second: str
    first_outcomes: Sequence[Outcome]
    second_outcomes: Sequence[Outcome]
    groups: Mapping[str, str]

    def row(self) -> list[str]:
        found = difference(self.first_outcomes, self.second_outcomes, self.groups)
        spread = "" if found.low is None or found.high is None else f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
        return [
            self.claim,
            f"{self.first}: {accuracy(self.first_outcomes)}",
            f"{self.second}: {accuracy(self.second_outcomes)}",
            percent(found.mean, found.sd, signed=True),
            spread,
            f"{len(self.first_outcomes[0].hits)} in {len({self.groups[v] for v in self.first_outcomes[0].hits})}",
            found.verdict(),
        ]


HEADER = ("claim", "first", "second", "first - second", "95 % over groups", "test videos, groups", "verdict")


def accuracy(outcomes: Sequence[Outcome]) -> str:
    return percent(*mean_sd([each.top1 for each in outcomes]))


def percent(mean: float, sd: float | None, *, signed: bool = False) -> str:
    text = f"{100 * mean:+.1f}" if signed else f"{100 * mean:.1f}"
    return text if sd is None else f"{text} ± {100 * sd:.1f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))
