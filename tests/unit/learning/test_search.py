"""The search over the SVM: what is tried, and what is taken of it."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from actionrec.config import Fusion
from actionrec.learning import search
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.search import Setting

STREAMS = ("spatial", "audio")


def embeddings(videos: int, seed: int, silent: int = 0) -> tuple[Embeddings, np.ndarray]:
    """Three classes apart in the first stream; the second is noise, and the first `silent` videos lack it."""
    rng = np.random.default_rng(seed)
    target = np.arange(videos) % 3
    spatial = (rng.normal(size=(videos, 5)) + 2 * np.eye(3, 5)[target]).astype(np.float32)
    audio = rng.normal(size=(videos, 4)).astype(np.float32)
    present = {"spatial": np.ones(videos, bool), "audio": np.arange(videos) >= silent}
    audio[:silent] = 0
    return Embeddings([f"v{i}" for i in range(videos)], {"spatial": spatial, "audio": audio}, present), target


def test_every_subset_meets_every_normalization_and_weight_and_the_papers_is_among_them() -> None:
    tried = search.settings(STREAMS, Fusion(l2=0.5), [1e-3])
    assert len(tried) == len(set(tried)) == 3 * 3 * 3
    assert {each.l2 for each in tried} == {1e-3, search.PAPER_L2, 0.5}
    assert {each.streams for each in tried} == {("spatial",), ("audio",), STREAMS}
    only = search.settings(STREAMS, Fusion(normalization="none"), [])
    assert {each.normalization for each in only} == {"none"}


@pytest.mark.parametrize("l2", [1e-4, 1e-2, 1.0])
def test_an_attempt_is_scikit_learn_called_directly(l2: float) -> None:
    (train, target), (val, val_target) = embeddings(60, 1), embeddings(40, 2)
    setting = Setting(("spatial",), "none", l2)
    ((_, top1),) = search.attempts([setting], train, target, val, val_target, ["a", "b", "c"], Fusion(), 0)
    machine = LinearSVC(loss="hinge", C=1 / (2 * l2 * 60), random_state=0, max_iter=10_000)
    machine.fit(train.vectors["spatial"].astype(np.float64), target)
    assert top1 == pytest.approx(float((machine.predict(val.vectors["spatial"]) == val_target).mean()))


def test_a_video_without_the_streams_of_a_setting_counts_as_wrong() -> None:
    train, target = embeddings(60, 1)
    val, val_target = embeddings(40, 2, silent=10)
    setting = Setting(("audio",), "l2", 1e-2)
    ((model, top1),) = search.attempts([setting], train, target, val, val_target, "abc", Fusion(), 0)
    right = [np.argmax(s) == t for i, t in enumerate(val_target) if (s := model.decision(val.video(i))) is not None]
    assert len(right) == 30 and top1 == pytest.approx(sum(right) / 40)


def test_of_equals_more_streams_then_the_papers_weight_then_the_first_normalization() -> None:
    both, one = STREAMS, ("spatial",)
    top1 = {
        Setting(one, "standardize", 1e-2): 0.8,
        Setting(both, "l2", 1.0): 0.9,
        Setting(one, "standardize", 1e-3): 0.9,
        Setting(both, "none", 1e-3): 0.9,
        Setting(both, "l2", 1e-3): 0.9,
    }
    assert search.best(top1) == Setting(both, "l2", 1e-3)
    top1[Setting(one, "none", 1e-5)] = 0.91
    assert search.best(top1) == Setting(one, "none", 1e-5)
