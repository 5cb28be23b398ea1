"""Weights of every class on every stream's scores: by hand, against scipy, and by the conditions of an optimum."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from actionrec.errors import InputError
from actionrec.learning import class_weights
from actionrec.learning.metrics import top_k

Array = NDArray[np.float64]
STREAMS, CLASSES, VIDEOS = 2, 4, 80
NAN = np.nan


def drawn(seed: int = 0, lacking: bool = False) -> tuple[Array, NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    target_N = np.arange(VIDEOS) % CLASSES
    scores_SNC = softmax(random.normal(size=(STREAMS, VIDEOS, CLASSES)) + 1.5 * np.eye(CLASSES)[target_N], axis=2)
    if lacking:
        scores_SNC[0, ::5] = NAN
        scores_SNC[1, ::10] = NAN  # every tenth video has no stream at all
    return scores_SNC, target_N


def groups_of(target_N: NDArray[np.int64]) -> list[str]:
    return [f"{label}_g{place // CLASSES % 3}" for place, label in enumerate(target_N)]


def inputs(scores_SNC: Array) -> Array:
    """[N, S K] of the videos that have a stream, by a loop: the mean over those there, times S, spread over streams."""
    rows = []
    for video_SC in scores_SNC.transpose(1, 0, 2):
        there = sum(not np.isnan(row).any() for row in video_SC)
        if there:
            rows.append(np.concatenate([np.nan_to_num(row) * STREAMS / there for row in video_SC]))
    return np.array(rows)


def slope(weight_F: Array, feature_NF: Array, own_N: NDArray[np.bool_]) -> Array:
    return feature_NF.T @ (expit(feature_NF @ weight_F + logit(1 / CLASSES)) - own_N) / len(own_N)


def test_the_prior_by_hand() -> None:
    """The first stream takes three videos for class 0, of which two are; the second never says class 1."""
    first = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    second = [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [NAN, NAN]]
    found = class_weights.prior(np.array([first, second]), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(found[:, 0], np.array([[2 / 3, 0], [1 / 3, 1]]) / 2)
    np.testing.assert_allclose(found[:, 1], np.array([[2 / 3, 0], [1 / 3, 1]]) / 2)


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("to_zero", [False, True])  # to zero it is ridge logistic regression
def test_without_sparsity_it_is_the_optimum_that_scipy_finds(lacking: bool, to_zero: bool) -> None:
    scores_SNC, target_N = drawn(lacking=lacking)
    prior_CSK = class_weights.prior(scores_SNC, target_N) * (not to_zero)
    found = class_weights.fit(scores_SNC, target_N, prior_CSK, 1e-2, 0.0)
    assert found.converged
    feature_NF = inputs(scores_SNC)
    used = ~np.isnan(scores_SNC).any(axis=2).all(axis=0)
    for label in range(CLASSES):
        own_N, target_F = target_N[used] == label, prior_CSK[label].ravel()

        def loss(weight_F: Array, own_N: Array = own_N, target_F: Array = target_F) -> tuple[float, Array]:
            value_N = feature_NF @ weight_F + logit(1 / CLASSES)
            mean = np.logaddexp(0, np.where(own_N, -value_N, value_N)).mean()
            away_F = weight_F - target_F
            return mean + 1e-2 * away_F @ away_F, slope(weight_F, feature_NF, own_N) + 2e-2 * away_F

        best = minimize(loss, target_F, jac=True, method="BFGS", options={"gtol": 1e-9})
        assert loss(found.weight[label].ravel())[0] == pytest.approx(best.fun, abs=1e-10)
        np.testing.assert_allclose(found.weight[label].ravel(), best.x, atol=1e-5)


@pytest.mark.parametrize("pull", [0.0, 1e-3])
def test_a_sparse_optimum_meets_its_conditions_in_every_weight(pull: float) -> None:
    scores_SNC, target_N = drawn()
    prior_CSK, sparsity = class_weights.prior(scores_SNC, target_N), 3e-2
    found = class_weights.fit(scores_SNC, target_N, prior_CSK, pull, sparsity)
    kinds = set()
    for label in range(CLASSES):
        weight_F = found.weight[label].ravel()
        down_F = -slope(weight_F, inputs(scores_SNC), target_N == label)
        down_F -= 2 * pull * (weight_F - prior_CSK[label].ravel())
        for weight, down in zip(weight_F, down_F, strict=True):
            kinds.add(np.sign(weight))
            if weight:
                assert down == pytest.approx(np.sign(weight) * sparsity, abs=1e-6)
            else:
                assert abs(down) <= sparsity + 1e-6
    assert found.converged and kinds == {-1, 0, 1}


def test_the_limits_are_the_prior_and_nothing() -> None:
    scores_SNC, target_N = drawn()
    prior_CSK = class_weights.prior(scores_SNC, target_N)
    np.testing.assert_allclose(class_weights.fit(scores_SNC, target_N, prior_CSK, 1e8, 0).weight, prior_CSK, atol=1e-7)
    nothing = class_weights.fit(scores_SNC, target_N, prior_CSK, 1e-2, 10.0)
    assert nothing.converged and not nothing.weight.any()
    np.testing.assert_allclose(expit(class_weights.scores(nothing, scores_SNC)), 1 / CLASSES)


def test_weights_follow_the_order_of_streams_and_of_classes() -> None:
    scores_SNC, target_N = drawn(lacking=True)
    order = np.array([2, 0, 3, 1])
    found = class_weights.learn("both", scores_SNC, target_N, 1e-3, 1e-3).weight
    streams = class_weights.learn("both", scores_SNC[::-1], target_N, 1e-3, 1e-3).weight
    np.testing.assert_allclose(streams, found[:, ::-1], atol=1e-5)
    classes = class_weights.learn("both", scores_SNC[..., order], np.argsort(order)[target_N], 1e-3, 1e-3).weight
    np.testing.assert_allclose(classes, found[order][..., order], atol=1e-5)


def test_the_mean_is_of_the_streams_that_a_video_has() -> None:
    scores_SNC, target_N = drawn(lacking=True)
    found = class_weights.scores(class_weights.learn("mean", scores_SNC, target_N, 0, 0), scores_SNC)
    assert np.isnan(found[::10]).all() and np.isnan(found).any(axis=1).sum() == VIDEOS / 10
    rest = np.arange(VIDEOS) % 10 > 0
    np.testing.assert_allclose(found[rest], np.nanmean(scores_SNC[:, rest], axis=0))
    np.testing.assert_allclose(found[5], scores_SNC[1, 5])


def test_a_video_by_itself_has_the_same_digits_and_a_second_fit_too() -> None:
    scores_SNC, target_N = drawn(lacking=True)
    one, other = (class_weights.learn("both", scores_SNC, target_N, 1e-3, 1e-4) for _ in range(2))
    np.testing.assert_array_equal(one.weight, other.weight)
    together = class_weights.scores(one, scores_SNC)
    np.testing.assert_array_equal(class_weights.scores(one, scores_SNC[:, 7:8])[0], together[7])


def test_videos_without_a_stream_and_a_stream_that_nobody_has_change_nothing() -> None:
    scores_SNC, target_N = drawn(lacking=True)
    there = np.arange(VIDEOS) % 10 > 0
    all_of_them = class_weights.learn("prior", scores_SNC, target_N, 1e-3, 0)
    some = class_weights.learn("prior", scores_SNC[:, there], target_N[there], 1e-3, 0)
    np.testing.assert_array_equal(all_of_them.weight, some.weight)
    with pytest.raises(InputError, match="have a stream"):
        class_weights.learn("prior", scores_SNC[:, ~there], target_N[~there], 1e-3, 0)
    whole_SNC, _ = drawn()
    silent_SNC = np.concatenate([whole_SNC, np.full((1, VIDEOS, CLASSES), NAN)])
    with_silent = class_weights.learn("free", silent_SNC, target_N, 1e-1, 0)
    assert with_silent.converged and not with_silent.weight[:, 2].any()


def test_a_class_that_no_video_has_gets_finite_weights() -> None:
    scores_SNC, target_N = drawn()
    found = class_weights.learn("free", scores_SNC, np.where(target_N == 3, 0, target_N), class_weights.RIDGE, 0)
    assert found.converged and np.isfinite(found.weight).all()
    assert 3 not in class_weights.scores(found, scores_SNC).argmax(axis=1)


def test_what_has_not_arrived_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_weights, "MAX_STEPS", 3)
    assert not class_weights.learn("free", *drawn(), class_weights.RIDGE, 0).converged


def confused(seed: int) -> tuple[Array, NDArray[np.int64]]:
    """The first stream calls classes 0 and 1 by each other's names, loudly; the second knows them, but whispers."""
    random = np.random.default_rng(seed)
    target_N = np.arange(VIDEOS) % CLASSES
    loud_N = np.array([1, 0, 2, 3])[target_N]
    noise = random.normal(size=(STREAMS, VIDEOS, CLASSES))
    strength = np.stack([4 * np.eye(CLASSES)[loud_N], 1.5 * np.eye(CLASSES)[target_N]])
    return softmax(noise * 0.7 + strength, axis=2), target_N


def test_a_stream_that_confuses_two_classes_is_put_right_by_the_prior_and_not_by_the_mean() -> None:
    (scores_SNC, target_N), (new_SNC, new_N) = confused(0), confused(1)

    def right(kind: class_weights.WeightKind, pull: float) -> float:
        weights = class_weights.learn(kind, scores_SNC, target_N, pull, 0)
        return float(top_k(class_weights.scores(weights, new_SNC), new_N, 1) or 0)

    assert right("mean", 0) < 0.7
    assert right("prior", class_weights.PULLS[0]) > 0.95


def test_settings_are_chosen_on_groups_that_the_weights_have_not_seen() -> None:
    scores_SNC, target_N = confused(0)
    found = {
        kind: class_weights.choose(scores_SNC, target_N, groups_of(target_N), kind) for kind in class_weights.KINDS
    }
    assert (found["prior"].top1 or 0) > 0.9 > 0.7 > (found["mean"].top1 or 0)
    for kind, choice in found.items():
        assert choice[:2] in class_weights.SETTINGS[kind]
        again = class_weights.choose(scores_SNC, target_N, groups_of(target_N), kind)
        assert choice[:3] == again[:3] and choice.top1 == top_k(choice.scores, target_N, 1)
        np.testing.assert_array_equal(choice.scores, again.scores)


def test_the_figure_of_a_choice_is_that_of_weights_learnt_beside_each_group() -> None:
    scores_SNC, target_N = drawn(3)
    group_N = np.where(np.arange(VIDEOS) < 50, "a", "b")
    held_out = np.empty((VIDEOS, CLASSES))
    for group in "ab":
        rest = group_N != group
        weights = class_weights.learn("free", scores_SNC[:, rest], target_N[rest], class_weights.RIDGE, 0)
        held_out[~rest] = class_weights.scores(weights, scores_SNC[:, ~rest])
    choice = class_weights.choose(scores_SNC, target_N, list(group_N), "free")
    assert choice.top1 == top_k(held_out, target_N, 1)


def test_of_equals_the_strongest_setting_is_taken() -> None:
    target_N = np.arange(VIDEOS) % CLASSES
    sure_SNC = np.repeat((0.96 * np.eye(CLASSES) + 0.01)[target_N][None], STREAMS, axis=0)
    choice = class_weights.choose(sure_SNC, target_N, groups_of(target_N), "prior")
    assert choice[:3] == (max(class_weights.PULLS), 0.0, 1.0)


def test_a_strong_pull_does_not_rank_classes_by_how_often_they_occur() -> None:
    """Beside a fold its classes are rarer; a bias of each class would hold that against them."""
    scores_SNC, target_N = confused(0)
    groups = [f"{label}_g{place // CLASSES % 2}" for place, label in enumerate(target_N)]
    weak = softmax(0.05 * np.log(scores_SNC), axis=2)  # the same order of classes, all nearly alike
    assert (class_weights.choose(weak, target_N, groups, "prior").top1 or 0) > 0.5


def test_one_group_is_refused() -> None:
    scores_SNC, target_N = drawn()
    with pytest.raises(InputError, match="there are 1"):
        class_weights.choose(scores_SNC, target_N, ["a"] * VIDEOS, "prior")
