"""How the systems of Table II make one score of several networks' scores."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from actionrec.learning import class_weights, metrics
from actionrec.storage.root import Root
from actionrec.table2 import multi_stream, two_stream
from actionrec.table2.systems import Side
from tests.learnt_roots import learnt_root
from tests.tiny_features import clips

CLASSES = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return learnt_root(tmp_path_factory.mktemp("fusing") / "root", clips(classes=CLASSES))


def side(networks: int, groups: int, sharpness: float, seed: int) -> Side:
    """Softmax vectors in which the class shows the more, the larger `sharpness` is; four videos a class and group."""
    target = np.repeat(np.arange(CLASSES), 4 * groups)
    random = np.random.default_rng(seed)
    logits = random.normal(size=(networks, len(target), CLASSES))
    logits[:, np.arange(len(target)), target] += sharpness
    scores: NDArray[np.float64] = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    names = [f"c{each}_g{place // 4 % groups}" for place, each in enumerate(target)]
    return Side(scores, target, names, [f"v{place}" for place in range(len(target))])


def test_two_stream_is_the_mean_or_scikit_learns_svm_on_vectors_of_length_1(root: Root) -> None:
    sides = {split: side(2, 3, 1.5, seed) for seed, split in enumerate(("train", "val", "test"))}
    found = two_stream.fuse(sides, root, 0)
    assert list(found) == ["spatial", "motion", "mean", "svm"]
    for split in ("val", "test"):
        np.testing.assert_array_equal(found["motion"].scores[split], sides[split].scores[1])
        np.testing.assert_allclose(found["mean"].scores[split], sides[split].scores.mean(axis=0))

    def stacked(each: Side) -> NDArray[np.float64]:
        units = each.scores / np.linalg.norm(each.scores, axis=2, keepdims=True)
        return np.concatenate(list(units), axis=1)

    chosen = found["svm"].settings["lambda"]
    train = sides["train"]
    tried = {}
    for l2 in sorted({*root.config.tune.l2, 0.01}):
        machine = LinearSVC(loss="hinge", C=1 / (2 * l2 * len(train.target)), tol=1e-8, max_iter=1_000_000)
        tried[l2] = machine.fit(stacked(train), train.target)
    top1 = {l2: (machine.predict(stacked(sides["val"])) == sides["val"].target).mean() for l2, machine in tried.items()}
    assert top1[chosen] == max(top1.values())
    np.testing.assert_allclose(
        found["svm"].scores["test"], tried[chosen].decision_function(stacked(sides["test"])), atol=1e-3
    )


def test_a_video_that_a_network_cannot_judge_is_judged_by_the_other(root: Root) -> None:
    sides = {split: side(2, 3, 1.5, seed) for seed, split in enumerate(("train", "val", "test"))}
    sides["test"].scores[0, 3] = np.nan
    sides["test"].scores[:, 5] = np.nan
    found = two_stream.fuse(sides, root, 0)
    np.testing.assert_array_equal(found["mean"].scores["test"][3], sides["test"].scores[1, 3])
    for method in ("mean", "svm"):
        lost = np.isnan(found[method].scores["test"]).any(axis=1)
        assert np.flatnonzero(lost).tolist() == [5]


def test_multi_streams_weights_are_judged_on_validation_by_folds_that_they_were_not_learnt_on(root: Root) -> None:
    """Of scores that know nothing, weights fitted to 72 videos know the videos: honest figures stay near chance."""
    sides = {"val": side(3, 3, 0.0, 1), "test": side(3, 3, 0.0, 2)}
    found = multi_stream.fuse(sides, root, 0)
    assert list(found) == ["spatial", "motion", "audio", *class_weights.KINDS]
    target = sides["val"].target
    learnt = class_weights.learn("free", sides["val"].scores, target, class_weights.RIDGE, 0.0)
    assert metrics.top_k(class_weights.scores(learnt, sides["val"].scores), target, 1) > 0.5
    assert metrics.top_k(found["free"].scores["val"], target, 1) < 0.35
    np.testing.assert_array_equal(found["free"].scores["test"], class_weights.scores(learnt, sides["test"].scores))


def test_a_class_without_validation_videos_has_scores_that_can_be_stored(root: Root) -> None:
    sides = {"val": side(3, 3, 1.0, 1), "test": side(3, 3, 1.0, 2)}
    known = sides["val"].target != CLASSES - 1
    val = sides["val"]
    groups = [name for name, kept in zip(val.groups, known, strict=True) if kept]
    ids = [name for name, kept in zip(val.video_ids, known, strict=True) if kept]
    sides["val"] = Side(val.scores[:, known], val.target[known], groups, ids)
    for method in ("free", "prior", "both"):
        scores = multi_stream.fuse(sides, root, 0)[method].scores
        assert scores["test"].shape[1] == CLASSES and np.isfinite(scores["test"]).all()


def test_with_one_group_of_validation_videos_multi_stream_is_judged_by_its_mean_alone(root: Root) -> None:
    sides = {"val": side(3, 1, 1.0, 1), "test": side(3, 3, 1.0, 2)}
    one = dataclasses.replace(sides["val"], groups=["g"] * len(sides["val"].target))
    found = multi_stream.fuse({**sides, "val": one}, root, 0)
    assert list(found) == ["spatial", "motion", "audio", "mean"]
    np.testing.assert_allclose(found["mean"].scores["val"], sides["val"].scores.mean(axis=0))
