"""Fusion against scikit-learn called directly, and what must hold of videos that lack a stream."""

import json
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from actionrec.config import Fusion
from actionrec.errors import InputError
from actionrec.learning import fusion
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.fusion import FusedModel, Head
from actionrec.learning.metrics import top_k

WIDTHS = {"spatial": 6, "motion": 5, "audio": 4}
LABELS = ["a", "b", "c", "d"]


def embeddings(vectors: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray] | None = None) -> Embeddings:
    count = len(next(iter(vectors.values())))
    there = present or {stream: np.ones(count, bool) for stream in vectors}
    kept = {stream: np.where(there[stream][:, None], x, 0).astype(np.float32) for stream, x in vectors.items()}
    return Embeddings([f"v{number}" for number in range(count)], kept, there)


def made(count: int, seed: int, *, silent: bool = False, classes: int = 4) -> tuple[Embeddings, np.ndarray]:
    """Classes that overlap; the scale differs by stream; of spatial one number is constant."""
    random, centres = np.random.default_rng(seed), np.random.default_rng(99)
    target = np.arange(count) % classes
    vectors = {
        stream: 10.0**place * (centres.normal(size=(classes, width))[target] + 1 + random.normal(size=(count, width)))
        for place, (stream, width) in enumerate(WIDTHS.items())
    }
    vectors["spatial"][:, 2] = 7.0
    present = {stream: np.ones(count, bool) for stream in WIDTHS}
    present["audio"] = random.random(count) < 0.6 if silent else present["audio"]
    return embeddings(vectors, present), target


def by_hand(train: Embeddings, own: Embeddings, how: str) -> np.ndarray:
    blocks = []
    for stream in train.streams:
        known = train.vectors[stream][train.present[stream]].astype(np.float64)
        block = own.vectors[stream].astype(np.float64)
        scale = np.where(known.max(0) == known.min(0), 1.0, known.std(0))
        block = (
            (block - known.mean(0)) / scale if how == "standardize" else block / np.linalg.norm(block, axis=1)[:, None]
        )
        blocks.append(np.where(own.present[stream][:, None], block, 0.0))
    flags = [~own.present[s][:, None] for s in train.streams if not train.present[s].all()]
    return np.concatenate([*blocks, *flags], axis=1)


def svc(feature: np.ndarray, target: np.ndarray, l2: float, seed: int) -> LinearSVC:
    c = 1 / (2 * l2 * len(target))
    return LinearSVC(loss="hinge", C=c, tol=1e-8, random_state=seed, max_iter=1_000_000).fit(feature, target)


@pytest.mark.parametrize("how", ["standardize", "l2"])
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("l2", [1e-2, 1e-4])
def test_mask_is_linear_svc_on_features_made_by_hand(how: str, silent: bool, l2: float) -> None:
    """With a missing stream too: zeros after normalisation, and one flag."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # by_hand divides the zeros of an absent stream
        train, target = made(80, 1, silent=silent)
        test, _ = made(30, 2, silent=silent)
        model = fusion.fit_as(train, target, LABELS, "svm", how, "mask", Fusion(l2=l2), seed=4)
        expected = svc(by_hand(train, train, how), target, l2, 4).decision_function(by_hand(train, test, how))
    np.testing.assert_allclose(model.decisions(test), expected, atol=1e-2 * np.abs(expected).max())


def test_softmax_is_logistic_regression_with_the_same_lambda() -> None:
    train, target = made(80, 1)
    test, _ = made(30, 2)
    model = fusion.fit_as(train, target, LABELS, "softmax", "standardize", "mask", Fusion(), seed=0)
    machine = LogisticRegression(C=1 / (2 * 0.01 * 80), max_iter=10_000).fit(
        by_hand(train, train, "standardize"), target
    )
    expected = machine.decision_function(by_hand(train, test, "standardize"))
    assert model.decisions(test) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_c_minimises_lambda_w_squared_plus_mean_hinge() -> None:
    """Liblinear's scale is easily taken for another: no step away from its weights lowers the stated objective."""
    train, target = made(40, 1, classes=2)
    l2 = 0.05
    model = fusion.fit_as(train, target, LABELS[:2], "svm", "standardize", "mask", Fusion(l2=l2), seed=0)
    feature = np.c_[by_hand(train, train, "standardize"), np.ones(40)]
    sign = np.where(target == 1, 1.0, -1.0)

    def objective(w: np.ndarray) -> float:
        return float(l2 * w @ w + np.maximum(0, 1 - sign * (feature @ w)).mean())

    found = np.append(model.classifiers[0].weight[1], model.classifiers[0].bias[1])
    random = np.random.default_rng(0)
    steps = [scale * random.normal(size=len(found)) for scale in (0.3, 0.1, 0.03) for _ in range(100)]
    scaled = [(factor - 1) * found for factor in (0.5, 0.8, 1.25, 2)]
    assert min(objective(found + step) for step in (*steps, *scaled)) > objective(found) - 1e-4


def test_two_classes_get_a_value_each() -> None:
    train, target = made(40, 1, classes=2)
    model = fusion.fit_as(train, target, LABELS[:2], "svm", "standardize", "mask", Fusion(), seed=0)
    expected = svc(by_hand(train, train, "standardize"), target, 0.01, 0).decision_function(
        by_hand(train, train, "standardize")
    )
    np.testing.assert_allclose(
        model.decisions(train), np.stack([-expected, expected], axis=1), atol=1e-2 * np.abs(expected).max()
    )


@pytest.mark.parametrize("rule", ["mask", "pattern"])
@pytest.mark.parametrize("how", ["standardize", "l2"])
def test_a_video_alone_has_the_same_digits(rule: str, how: str) -> None:
    train, target = made(80, 1, silent=True)
    test, _ = made(40, 2, silent=True)
    model = fusion.fit_as(train, target, LABELS, "svm", how, rule, Fusion(), seed=0)
    together = model.decisions(test)
    for place in range(len(test)):
        alone = model.decision(test.video(place))
        assert alone is not None and alone.tobytes() == together[place].tobytes()
    shuffled = np.random.default_rng(0).permutation(len(test))
    assert model.decisions(test.rows(shuffled)).tobytes() == together[shuffled].tobytes()


def test_pattern_uses_all_videos_that_have_the_streams_and_only_those_streams() -> None:
    train, target = made(80, 1, silent=True)
    test, _ = made(30, 2, silent=True)
    model = fusion.fit_as(train, target, LABELS, "svm", "standardize", "pattern", Fusion(), seed=0)
    sets = [c.streams for c in model.classifiers]
    assert sorted(sets) == sorted(fusion.subsets(list(WIDTHS))) and sets == sorted(sets, key=len, reverse=True)
    heard = train.present["audio"]
    for streams, learnt in ((("spatial", "motion"), np.ones(80, bool)), (tuple(WIDTHS), heard)):
        mine = train.rows(np.flatnonzero(learnt)).of(streams)
        machine = svc(by_hand(mine, mine, "standardize"), target[learnt], 0.01, 0)
        judged = test.rows(np.flatnonzero(test.present["audio"] == ("audio" in streams)))
        expected = machine.decision_function(by_hand(mine, judged.of(streams), "standardize"))
        assert len(judged)
        np.testing.assert_allclose(model.decisions(judged), expected, atol=1e-2 * np.abs(expected).max())


@pytest.mark.parametrize("rule", ["mask", "pattern"])
def test_what_lies_in_an_absent_row_has_no_say(rule: str) -> None:
    train, target = made(60, 1, silent=True)
    rubbish = dict(train.vectors)
    rubbish["audio"] = np.where(train.present["audio"][:, None], rubbish["audio"], 1e6).astype(np.float32)
    other = Embeddings(train.video_ids, rubbish, train.present)
    one, two = (fusion.fit_as(x, target, LABELS, "svm", "standardize", rule, Fusion(), 0) for x in (train, other))
    assert {n: t.tobytes() for n, t in one.tensors().items()} == {n: t.tobytes() for n, t in two.tensors().items()}


@pytest.mark.parametrize("rule", ["mask", "pattern"])
def test_no_stream_is_no_prediction(rule: str) -> None:
    train, target = made(60, 1, silent=True)
    model = fusion.fit_as(train, target, LABELS, "svm", "standardize", rule, Fusion(), 0)
    assert model.decision({}) is None and model.decision(dict.fromkeys(WIDTHS)) is None
    nothing = embeddings(train.vectors, {stream: np.zeros(60, bool) for stream in WIDTHS})
    assert np.isnan(model.decisions(nothing)).all()
    assert top_k(model.decisions(nothing), target, 1) == 0.0


@pytest.mark.parametrize("rule", ["mask", "pattern"])
def test_a_stream_that_only_a_new_video_lacks_is_no_obstacle(rule: str) -> None:
    train, target = made(60, 1)
    model = fusion.fit_as(train, target, LABELS, "svm", "standardize", rule, Fusion(), 0)
    scores = model.decision({"spatial": train.vectors["spatial"][0]})
    assert scores is not None and np.isfinite(scores).all()


def test_a_class_that_a_set_of_streams_never_shows_gets_weight_0() -> None:
    """Class d is always silent. Among the videos with sound its SVM has seen only negatives: -1 for anything."""
    train, target = made(80, 1)
    present = dict(train.present) | {"audio": target != 3}
    model = fusion.fit_as(
        embeddings(train.vectors, present), target, LABELS, "svm", "standardize", "pattern", Fusion(), 0
    )
    everything = model.classifiers[0]
    assert (everything.weight[3] == 0).all() and everything.bias[3] == -1
    assert (everything.weight[:3] != 0).any(axis=1).all()


def test_streams_that_nobody_has_together_are_left_to_a_smaller_set() -> None:
    train, target = made(80, 1)
    even = np.arange(80) % 8 < 4
    present = dict(train.present) | {"audio": even, "motion": ~even}
    model = fusion.fit_as(embeddings(train.vectors, present), target, LABELS, "svm", "l2", "pattern", Fusion(), 0)
    assert ("motion", "audio") not in [c.streams for c in model.classifiers]
    assert model.decision(train.video(0)) is not None  # though it has all three


def test_validation_chooses_and_a_tie_takes_the_first() -> None:
    train, target = made(60, 1, silent=True)
    val, val_target = made(40, 2, silent=True)
    model = fusion.fit(train, target, val, val_target, LABELS, Fusion(), 0)
    tried = [(c["normalization"], c["missing"], c["val_top1"]) for c in model.candidates]
    assert [each[:2] for each in tried] == [
        ("standardize", "mask"),
        ("standardize", "pattern"),
        ("l2", "mask"),
        ("l2", "pattern"),
        ("none", "mask"),
        ("none", "pattern"),
    ]
    for how, rule, value in tried:
        alone = fusion.fit_as(train, target, LABELS, "svm", how, rule, Fusion(), 0)
        assert top_k(alone.decisions(val), val_target, 1) == value
    best = max(value for *_, value in tried)
    assert (model.normalization, model.missing) == next(each[:2] for each in tried if each[2] == best)


def test_of_equals_the_first_is_taken() -> None:
    train, target = made(60, 1, silent=True)
    model = fusion.fit(train, target, train.rows(np.arange(0)), target[:0], LABELS, Fusion(l2=1e-6), 0)
    del model


@pytest.mark.parametrize(("wins", "scale"), [("standardize", False), ("l2", True)])
def test_either_normalisation_can_win(wins: str, scale: bool) -> None:
    """Length 1 hides a class that is a length; standardising is misled by a validation set of another loudness."""
    random = np.random.default_rng(0)
    target = np.arange(120) % 2
    direction = random.normal(size=(120, 6)) * 0.05 + 1
    if scale:
        direction[:, :3] += np.where(target, 0.4, -0.4)[:, None]
        length = np.where(np.arange(120) < 60, 1.0, 8.0)[:, None]
    else:
        length = np.where(target, 3.0, 1.0)[:, None]
    both = embeddings({"spatial": direction * length})
    first, second = np.arange(60), np.arange(60, 120)
    model = fusion.fit(both.rows(first), target[first], both.rows(second), target[second], LABELS[:2], Fusion(), 0)
    assert model.normalization == wins and len(model.candidates) == 3  # nobody lacks a stream: one rule


def test_validation_videos_are_not_learnt_from() -> None:
    train, target = made(60, 1)
    one, other = made(40, 2), made(40, 3)
    settings = Fusion(normalization="l2", missing="mask")
    models = [fusion.fit(train, target, *val, LABELS, settings, 0) for val in (one, other)]
    assert models[0].classifiers[0].weight.tobytes() == models[1].classifiers[0].weight.tobytes()
    assert models[0].candidates != models[1].candidates


@pytest.mark.parametrize("kind", ["svm", "softmax"])
def test_what_did_not_converge_says_so(kind: fusion.Kind) -> None:
    train, target = made(80, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short = fusion.fit_as(train, target, LABELS, kind, "standardize", "mask", Fusion(max_iterations=1), 0)
        enough = fusion.fit_as(train, target, LABELS, kind, "standardize", "mask", Fusion(), 0)
    assert len(short.warnings) == 1 and "raise fusion.max_iterations" in short.warnings[0]
    assert enough.warnings == ()


def stored(model: FusedModel) -> tuple[dict[str, np.ndarray], dict]:
    return {name: array.copy() for name, array in model.tensors().items()}, json.loads(json.dumps(model.described()))


@pytest.mark.parametrize("rule", ["mask", "pattern"])
@pytest.mark.parametrize("how", ["standardize", "l2"])
def test_a_stored_model_comes_back_to_the_bit(rule: str, how: str) -> None:
    train, target = made(60, 1, silent=True)
    val, val_target = made(40, 2, silent=True)
    model = fusion.fit(train, target, val, val_target, LABELS, Fusion(normalization=how, missing=rule), 0)
    back = fusion.restore(*stored(model), LABELS)
    assert back.decisions(val).tobytes() == model.decisions(val).tobytes()
    assert (back.labels, back.candidates, back.described()) == (model.labels, model.candidates, model.described())


@pytest.mark.parametrize(
    "change",
    [
        {"widths": {"spatial": 6, "motion": 5}},
        {"widths": {"spatial": 7, "motion": 5, "audio": 4}},
        {"widths": None},
        {"normalization": "other"},
        {"missing": "other"},
        {"classifiers": []},
        {"classifiers": [{"streams": ["spatial"], "flagged": []}]},
        {"classifiers": "no"},
    ],
)
def test_a_described_model_that_does_not_fit_its_tensors_is_refused(change: dict) -> None:
    train, target = made(60, 1)
    tensors, described = stored(fusion.fit_as(train, target, LABELS, "svm", "standardize", "mask", Fusion(), 0))
    with pytest.raises(InputError, match="do not fit together"):
        fusion.restore(tensors, described | change, LABELS)
    with pytest.raises(InputError, match="do not fit together"):
        fusion.restore(tensors, described, LABELS[:3])


def test_bad_embeddings_are_refused_by_name() -> None:
    train, target = made(60, 1)
    model = fusion.fit_as(train, target, LABELS, "svm", "standardize", "mask", Fusion(), 0)
    with pytest.raises(InputError, match=r"the motion embedding has the shape \(3,\).*takes 5"):
        model.decision({"motion": np.zeros(3, np.float32)})
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match="the audio embedding holds NaN or infinity"):
            model.decision({"audio": np.full(4, bad, np.float32)})
        vectors = {stream: x.copy() for stream, x in train.vectors.items()}
        vectors["motion"][17, 1] = bad
        with pytest.raises(InputError, match="the motion embedding of 'v17' holds NaN or infinity"):
            embeddings(vectors)
    with pytest.raises(InputError, match="the spatial embeddings have the shape"):
        Embeddings(["v0"], {"spatial": np.zeros((2, 6), np.float32)}, {"spatial": np.ones(2, bool)})


def test_what_teaches_nothing_is_refused() -> None:
    train, target = made(60, 1)
    with pytest.raises(InputError, match="two classes or more, and there are 1"):
        fusion.fit(train, np.zeros(60, np.int64), train, target, LABELS, Fusion(), 0)
    silent = embeddings(train.vectors, dict(train.present) | {"audio": np.zeros(60, bool)})
    with pytest.raises(InputError, match="no training video has the stream audio"):
        fusion.fit(silent, target, train, target, LABELS, Fusion(), 0)


def test_average_is_the_mean_of_the_softmax_outputs_that_there_are() -> None:
    heads = {
        "spatial": Head(np.array([[np.log(3.0)], [0.0]]), np.zeros(2)),  # 1 -> 3/4, 1/4
        "audio": Head(np.zeros((2, 1)), np.array([0.0, np.log(4.0)])),  # anything -> 1/5, 4/5
    }
    present = {"spatial": np.array([True, True, False, False]), "audio": np.array([True, False, True, False])}
    both = embeddings({"spatial": np.ones((4, 1)), "audio": np.ones((4, 1))}, present)
    expected = [[0.475, 0.525], [0.75, 0.25], [0.2, 0.8], [np.nan, np.nan]]
    assert fusion.average(heads, both) == pytest.approx(np.array(expected), nan_ok=True)


def test_large_logits_do_not_overflow() -> None:
    head = Head(np.array([[1000.0], [0.0]]), np.zeros(2))
    assert fusion.average({"spatial": head}, embeddings({"spatial": np.ones((1, 1))})).tolist() == [[1.0, 0.0]]


def test_subsets_are_all_and_the_smaller_first() -> None:
    assert fusion.subsets(["x", "y", "z"]) == [
        ("x",),
        ("y",),
        ("z",),
        ("x", "y"),
        ("x", "z"),
        ("y", "z"),
        ("x", "y", "z"),
    ]
