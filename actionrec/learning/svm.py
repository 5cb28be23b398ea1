"""The linear SVM (IV.G) of all classes and several L2 weights at once, to a stated distance from the optimum.

A class against the rest is min lambda |w|^2 + mean hinge loss, which is what liblinear's LinearSVC(loss="hinge",
C = 1 / (2 lambda n)) solves, the bias among the weights of an input that is always 1. Here by the alternating direction
method of multipliers (Boyd et al. 2011): the margins are split off as a variable of their own, so that each step is a
ridge regression, which is the same for all classes and costs two matrix products once the features are rotated onto
their principal axes. See docs/decisions/0021-svm.md.

Axes: N videos, F features, R axes of the space that they span, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GAP = 1e-5  # how far a class's objective may lie above its optimum, as a share of it, proven by the dual
OVER_RELAXATION = 1.6
CHECKED_EVERY = 10  # iterations
ADAPTED = 3000  # iterations in which the penalty may change; afterwards it is fixed, or nothing would be promised


@dataclass(frozen=True)
class Solution:
    """The classifiers for one L2 weight."""

    weight: Array  # [C, F]
    bias: Array  # [C]
    converged: bool


@dataclass
class _State:
    """Where the iteration stands, a column a class."""

    margin: Array  # [N, C] split off from y (w x)
    dual: Array  # [N, C] the dual variables over the penalty, in 0 .. cost / penalty
    penalty: Array  # [C]


def solve(
    feature_NF: Array,
    target_N: NDArray[np.int64],
    classes: int,
    l2s: Sequence[float],
    max_iterations: int,
) -> list[Solution]:
    """A classifier of each class against the rest for each of `l2s`, each begun where the next stronger one ended.

    Classes are 0 .. classes - 1 and all occur.
    """
    axes_FR, rotated_NR, variance_R = _rotate(np.column_stack([feature_NF, np.ones(len(feature_NF))]))
    sign_NC = np.where(target_N[:, None] == np.arange(classes), 1.0, -1.0)
    mean_square = float(variance_R.sum()) / len(feature_NF)
    state = _State(np.zeros_like(sign_NC), np.zeros_like(sign_NC), np.full(classes, 1 / mean_square))
    found = {}
    for l2 in sorted(set(l2s), reverse=True):
        cost = 1 / (2 * l2 * len(feature_NF))
        weight_RC, gap_C = _descend(rotated_NR, variance_R, sign_NC, cost, state, max_iterations)
        weight_FC = axes_FR @ weight_RC
        found[l2] = Solution(weight_FC[:-1].T, weight_FC[-1], bool((gap_C <= GAP).all()))
    return [found[l2] for l2 in l2s]


def _rotate(feature_NF: Array) -> tuple[Array, Array, Array]:
    """Principal axes [F, R], the features along them [N, R], and the sum of squares along each [R]; R = min(N, F)."""
    videos, features = feature_NF.shape
    if features <= videos:
        variance_R, axes_FR = np.linalg.eigh(feature_NF.T @ feature_NF)
    else:  # the best weights are a sum of features, so no other direction is needed
        variance_R, sides_NR = np.linalg.eigh(feature_NF @ feature_NF.T)
        keep = variance_R > variance_R[-1] * videos * np.finfo(np.float64).eps
        variance_R = variance_R[keep]
        axes_FR = feature_NF.T @ (sides_NR[:, keep] / np.sqrt(variance_R))
    return axes_FR, feature_NF @ axes_FR, np.maximum(variance_R, 0)


def _descend(
    rotated_NR: Array, variance_R: Array, sign_NC: Array, cost: float, state: _State, max_iterations: int
) -> tuple[Array, Array]:
    """Weights [R, C] and gaps [C] for one L2 weight. Classes leave the iteration as they arrive."""
    weight_RC = np.zeros((len(variance_R), sign_NC.shape[1]))
    gap_C = np.full(sign_NC.shape[1], np.inf)
    left = np.arange(sign_NC.shape[1])
    margin, dual, penalty, sign = (each[..., left] for each in (state.margin, state.dual, state.penalty, sign_NC))
    for iteration in range(1, max_iterations + 1):
        shrunk_RC = penalty / (1 + penalty * variance_R[:, None])
        own_RC = shrunk_RC * (rotated_NR.T @ (sign * (margin + dual)))
        reached = sign * (rotated_NR @ own_RC)
        before = margin
        aim = OVER_RELAXATION * reached + (1 - OVER_RELAXATION) * margin - dual
        dual = np.clip(1 - aim, 0, cost / penalty)
        margin = aim + dual
        if iteration % CHECKED_EVERY and iteration < max_iterations:
            continue
        best_RC, gaps = _judge(rotated_NR, sign, own_RC, reached, penalty * dual, cost)
        better = gaps < gap_C[left]
        weight_RC[:, left[better]], gap_C[left[better]] = best_RC[:, better], gaps[better]
        if iteration <= ADAPTED:
            penalty, dual = _balanced(penalty, dual, reached - margin, margin - before)
        state.margin[:, left], state.dual[:, left], state.penalty[left] = margin, dual, penalty
        stay = gap_C[left] > GAP
        left = left[stay]
        if not len(left):
            break
        margin, dual, penalty, sign = (each[..., stay] for each in (margin, dual, penalty, sign))
    return weight_RC, gap_C


def _judge(
    rotated_NR: Array, sign: Array, own_RC: Array, reached: Array, multiplier: Array, cost: float
) -> tuple[Array, Array]:
    """Of the iteration's weights and those that follow from the dual variables the better ones, and their gap [C]."""
    dual_RC = rotated_NR.T @ (sign * multiplier)
    length_C = (dual_RC**2).sum(0) / 2
    bound_C = multiplier.sum(0) - length_C
    loss_C = np.maximum(1 - sign * (rotated_NR @ dual_RC), 0).sum(0)
    own_C = (own_RC**2).sum(0) / 2 + cost * np.maximum(1 - reached, 0).sum(0)
    objective_C = length_C + cost * loss_C
    lowest_C = np.minimum(own_C, objective_C)
    gap_C: Array = (lowest_C - bound_C) / np.maximum(lowest_C, 1e-300)
    return np.where(own_C < objective_C, own_RC, dual_RC), gap_C


def _balanced(penalty: Array, dual: Array, apart: Array, moved: Array) -> tuple[Array, Array]:
    """A penalty that keeps what is violated and what still moves of one size, and the dual variables over it."""
    ratio = np.sqrt(np.linalg.norm(apart, axis=0) / np.maximum(np.linalg.norm(moved, axis=0), 1e-12)).clip(0.5, 2)
    ratio = np.where((ratio > 0.8) & (ratio < 1.25), 1.0, ratio)
    return penalty * ratio, dual / ratio
