"""Probabilities of a classifier's margins, by one temperature that is fitted on videos it was not fitted on.

p = softmax(margins / temperature) (Guo et al. 2017, "On calibration of modern neural networks"): one number for all
classes, so it changes no order, and few videos suffice. As Platt (1999) does, no video counts as more certain than so
many of them allow: see docs/decisions/0032-probabilities.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actionrec.learning.metrics import Classes, Scores

LOG_RANGE = 12.0  # of the temperature, either way from the margins' own spread


@dataclass(frozen=True)
class Calibration:
    """What margins are divided by; None where there were too few videos to say."""

    least: ClassVar[int] = 20  # videos, below which nothing is said

    temperature: float | None
    videos: int  # validation videos that were looked at

    def probabilities(self, margin_C: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """float64 [C] whose sum is 1, in the order of the margins; None where there were too few videos."""
        if self.temperature is None:
            return None
        from scipy.special import softmax

        found: NDArray[np.float64] = softmax(margin_C / self.temperature)
        return found

    def described(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "videos": self.videos}


def restored(described: Mapping[str, Any]) -> Calibration:
    """What `described` gave. KeyError, TypeError or ValueError: it is something else."""
    temperature = described["temperature"]
    if temperature is not None and not 0 < float(temperature) < np.inf:
        raise ValueError(f"a temperature of {temperature}")
    return Calibration(None if temperature is None else float(temperature), int(described["videos"]))


def calibrate(margin_NC: Scores, target_N: Classes) -> Calibration:
    """The temperature under which these videos' classes are likeliest. A row of NaN is a video without margins."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    judged = ~np.isnan(margin_NC).any(axis=1)
    margin_NC, target_N = margin_NC[judged], target_N[judged]
    if len(margin_NC) < Calibration.least:
        return Calibration(None, len(margin_NC))
    aim_NC = _aims(target_N, margin_NC.shape[1])
    spread = float(margin_NC.std()) or 1.0

    def loss(log_share: float) -> float:
        return -float((aim_NC * log_softmax(margin_NC / (spread * np.exp(log_share)), axis=1)).sum())

    best = minimize_scalar(loss, bounds=(-LOG_RANGE, LOG_RANGE), method="bounded", options={"xatol": 1e-6})
    return Calibration(spread * float(np.exp(best.x)), len(margin_NC))


def _aims(target_N: Classes, classes: int) -> NDArray[np.float64]:
    """What is asked of each video's probabilities [N, C]: (N + 1) / (N + 2) for its class, the others sharing the rest.

    Were it 1, margins that happen to make no mistake on N videos would be called certain.
    """
    videos = len(target_N)
    aim_NC = np.full((videos, classes), 1 / ((videos + 2) * (classes - 1)))
    aim_NC[np.arange(videos), target_N] = (videos + 1) / (videos + 2)
    return aim_NC
