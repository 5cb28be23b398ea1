"""The SVM's own solver, held to liblinear's objective and decisions."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from actionrec.learning import svm

CLASSES = 4
L2S = (1.0, 1e-2, 1e-4)


def drawn(videos: int, features: int, noise: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    target_N = np.arange(videos) % CLASSES
    centre = rng.normal(size=(CLASSES, features))
    return centre[target_N] + noise * rng.normal(size=(videos, features)) * np.linspace(2, 0.1, features), target_N


def objective(
    feature_NF: NDArray[np.float64], sign_N: NDArray[np.float64], weight: NDArray[np.float64], bias: float, l2: float
) -> float:
    """lambda (|w|^2 + b^2) + mean hinge loss: the bias is a weight like any other, as in liblinear."""
    loss = np.maximum(0, 1 - sign_N * (feature_NF @ weight + bias)).mean()
    return float(l2 * (weight @ weight + bias**2) + loss)


def liblinear(feature_NF: NDArray[np.float64], target_N: NDArray[np.int64], l2: float) -> LinearSVC:
    """Run far beyond its usual tolerance, at which its objective is up to a per cent above the optimum."""
    cost = 1 / (2 * l2 * len(target_N))
    return LinearSVC(loss="hinge", C=cost, tol=1e-9, max_iter=2_000_000, random_state=0).fit(feature_NF, target_N)


@pytest.mark.parametrize(
    ("videos", "features", "noise"),
    [(120, 8, 2.0), (120, 8, 0.2), (60, 150, 1.0)],  # overlapping, separable, and more features than videos
)
def test_objective_and_decisions_are_liblinears(videos: int, features: int, noise: float) -> None:
    feature_NF, target_N = drawn(videos, features, noise)
    for l2, found in zip(L2S, svm.solve(feature_NF, target_N, CLASSES, L2S, 10_000), strict=True):
        assert found.converged or l2 < 1e-2  # weak weights on overlapping classes take more than 10,000 iterations
        machine = liblinear(feature_NF, target_N, l2)
        for label in range(CLASSES):
            sign_N = np.where(target_N == label, 1.0, -1.0)
            ours = objective(feature_NF, sign_N, found.weight[label], found.bias[label], l2)
            theirs = objective(feature_NF, sign_N, machine.coef_[label], machine.intercept_[label], l2)
            assert ours == pytest.approx(theirs, rel=1e-4), (l2, label)
        expected_NC = machine.decision_function(feature_NF)
        scale = np.abs(expected_NC).max()
        np.testing.assert_allclose(feature_NF @ found.weight.T + found.bias, expected_NC, atol=1e-2 * scale)


def test_the_gap_is_a_true_bound() -> None:
    """Convergence is claimed by the dual; liblinear never gets below it."""
    feature_NF, target_N = drawn(80, 6, 1.5, seed=3)
    (found,) = svm.solve(feature_NF, target_N, CLASSES, [1e-3], 10_000)
    for label in range(CLASSES):
        sign_N = np.where(target_N == label, 1.0, -1.0)
        machine = liblinear(feature_NF, target_N, 1e-3)
        ours = objective(feature_NF, sign_N, found.weight[label], found.bias[label], 1e-3)
        theirs = objective(feature_NF, sign_N, machine.coef_[label], machine.intercept_[label], 1e-3)
        assert ours * (1 - svm.GAP) <= theirs * (1 + 1e-9)


def test_weights_come_back_in_the_order_that_was_asked_for_whatever_the_path() -> None:
    feature_NF, target_N = drawn(80, 6, 1.0)
    up, down = (svm.solve(feature_NF, target_N, CLASSES, order, 10_000) for order in (L2S[::-1], L2S))
    for one, other in zip(up, down[::-1], strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
    lengths = [float(np.square(each.weight).sum()) for each in up]
    assert lengths == sorted(lengths, reverse=True)  # the weaker the weight, the longer the vector


def test_what_has_not_arrived_says_so() -> None:
    feature_NF, target_N = drawn(80, 6, 1.0)
    assert not svm.solve(feature_NF, target_N, CLASSES, [1e-3], 1)[0].converged


def test_no_information_gives_finite_weights() -> None:
    target_N = np.arange(40) % CLASSES
    (found,) = svm.solve(np.zeros((40, 3)), target_N, CLASSES, [1e-2], 10_000)
    assert found.converged and not found.weight.any() and np.isfinite(found.bias).all()
