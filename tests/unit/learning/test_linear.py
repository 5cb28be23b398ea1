"""One linear classifier: its features by hand, its weights against scikit-learn called directly."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from actionrec.config import Fusion
from actionrec.errors import InputError
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.linear import Kind, Linear, Normalizer, feature, fit_linear

FUSION = Fusion()


def two_streams(videos: int = 30, lacking: tuple[int, ...] = ()) -> tuple[Embeddings, NDArray[np.int64]]:
    """Three classes; spatial [N, 4] tells them apart, audio [N, 2] a little, and some videos lack it."""
    rng = np.random.default_rng(0)
    target_N = np.arange(videos) % 3
    spatial_ND = (rng.normal(size=(videos, 4)) + 2 * np.eye(4)[target_N]).astype(np.float32)
    audio_ND = (rng.normal(size=(videos, 2)) + 0.5 * np.eye(3)[target_N][:, :2]).astype(np.float32)
    has_audio_N = ~np.isin(np.arange(videos), lacking)
    audio_ND[~has_audio_N] = 0
    present = {"spatial": np.ones(videos, bool), "audio": has_audio_N}
    return Embeddings([f"{n}" for n in range(videos)], {"spatial": spatial_ND, "audio": audio_ND}, present), target_N


def fit(
    train: Embeddings, target_N: NDArray[np.int64], *, kind: Kind, normalization: str, fusion: Fusion = FUSION
) -> tuple[Linear, list[str]]:
    (found,) = fit_linear(
        train, target_N, 3, kind=kind, normalization=normalization, fusion=fusion, l2s=[fusion.l2], seed=0
    )
    return found


def test_a_feature_by_hand() -> None:
    standardized = Normalizer(2, "standardize", np.array([1.0, 2.0]), np.array([2.0, 0.5]))
    normalizers = {"spatial": standardized, "audio": Normalizer(2, "l2")}
    video = {"spatial": np.array([3, 1], np.float32), "audio": np.array([3, 4], np.float32)}
    np.testing.assert_allclose(feature(normalizers, ("audio",), video), [1, -2, 0.6, 0.8, 0])
    np.testing.assert_allclose(feature(normalizers, ("audio",), video | {"audio": None}), [1, -2, 0, 0, 1])
    zeros = {"spatial": np.array([1, 2], np.float32), "audio": np.zeros(2, np.float32)}
    np.testing.assert_allclose(feature(normalizers, (), zeros), [0, 0, 0, 0])


def test_a_constant_number_scales_by_one() -> None:
    embeddings, target_N = two_streams()
    embeddings.vectors["spatial"][:, 3] = 7.0
    model, _ = fit(embeddings, target_N, kind="svm", normalization="standardize")
    assert model.normalizers["spatial"].scale is not None and model.normalizers["spatial"].scale[3] == 1
    assert np.isfinite(model.values(embeddings.video(0))).all()


def test_the_svm_is_lambda_times_the_squared_weights_and_the_mean_hinge_loss() -> None:
    """C = 1 / (2 lambda n), on features made here by hand."""
    embeddings, target_N = two_streams()
    both_NF = np.hstack([embeddings.vectors["spatial"], embeddings.vectors["audio"]]).astype(np.float64)
    feature_NF = (both_NF - both_NF.mean(0)) / both_NF.std(0)
    machine = LinearSVC(loss="hinge", C=1 / (2 * 0.05 * 30), tol=1e-8, random_state=3, max_iter=1_000_000).fit(
        feature_NF, target_N
    )
    model, said = fit(embeddings, target_N, kind="svm", normalization="standardize", fusion=Fusion(l2=0.05))
    assert said == []
    expected_NC = machine.decision_function(feature_NF)
    found_NC = np.stack([model.values(embeddings.video(n)) for n in range(30)])
    np.testing.assert_allclose(found_NC, expected_NC, atol=1e-2)


def test_the_softmax_is_scikit_learns() -> None:
    embeddings, target_N = two_streams()
    unit_NF = embeddings.vectors["spatial"].astype(np.float64)
    unit_NF /= np.linalg.norm(unit_NF, axis=1, keepdims=True)
    machine = LogisticRegression(C=1 / (2 * FUSION.l2 * 30), max_iter=10_000).fit(unit_NF, target_N)
    model, _ = fit(embeddings.of(["spatial"]), target_N, kind="softmax", normalization="l2")
    found_NC = np.stack([model.values(embeddings.video(n)) for n in range(30)])
    np.testing.assert_allclose(found_NC, machine.decision_function(unit_NF), atol=1e-6)


def test_a_stream_that_some_lack_is_flagged_and_its_scale_is_of_those_that_have_it() -> None:
    embeddings, target_N = two_streams(lacking=(0, 1, 2, 7))
    model, _ = fit(embeddings, target_N, kind="svm", normalization="standardize")
    assert model.flagged == ("audio",)
    assert model.weight.shape == (3, 4 + 2 + 1)
    has = embeddings.present["audio"]
    np.testing.assert_allclose(model.normalizers["audio"].mean, embeddings.vectors["audio"][has].mean(0), atol=1e-6)


def test_two_classes_and_a_class_that_training_lacks() -> None:
    embeddings, target_N = two_streams()
    some = np.flatnonzero(target_N != 1)
    for kind, unseen in (("svm", -1.0), ("softmax", -np.inf)):
        model, _ = fit(embeddings.rows(some), target_N[some], kind=kind, normalization="standardize")
        np.testing.assert_array_equal(model.weight[0], -model.weight[2])
        assert not model.weight[1].any() and model.bias[1] == unseen
        values_NC = np.stack([model.values(embeddings.video(n)) for n in some])
        assert (values_NC.argmax(1) == target_N[some]).mean() > 0.9


def test_a_machine_that_has_not_converged_says_which_knob() -> None:
    embeddings, target_N = two_streams()
    _, said = fit(embeddings, target_N, kind="svm", normalization="standardize", fusion=Fusion(max_iterations=1))
    assert len(said) == 1 and "fusion.max_iterations" in said[0] and "spatial + audio" in said[0]


def test_a_value_does_not_depend_on_who_else_is_judged() -> None:
    embeddings, target_N = two_streams()
    model, _ = fit(embeddings, target_N, kind="svm", normalization="l2")
    backwards = embeddings.rows(np.arange(29, -1, -1))
    for n in range(30):
        np.testing.assert_array_equal(model.values(embeddings.video(n)), model.values(backwards.video(29 - n)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_refused_by_stream_and_video(value: float) -> None:
    embeddings, _ = two_streams()
    vectors = {stream: found.copy() for stream, found in embeddings.vectors.items()}
    vectors["audio"][3, 0] = value
    with pytest.raises(InputError, match="audio embedding of '3' holds NaN or infinity"):
        Embeddings(embeddings.video_ids, vectors, embeddings.present)


def test_more_features_than_videos_is_solved_as_scikit_learn_solves_it() -> None:
    """The detour over the space that the videos span changes nothing but the time."""
    rng = np.random.default_rng(3)
    vectors, target = rng.normal(size=(30, 200)).astype(np.float32), np.arange(30) % 3
    train = Embeddings([str(i) for i in range(30)], {"spatial": vectors}, {"spatial": np.ones(30, bool)})
    for l2 in (1e-4, 1e-2, 1.0):
        own, said = fit(train, target, kind="svm", normalization="none", fusion=Fusion(l2=l2))
        machine = LinearSVC(loss="hinge", C=1 / (2 * l2 * 30), tol=1e-8, random_state=0, max_iter=1_000_000)
        machine.fit(vectors.astype(np.float64), target)
        assert not said
        np.testing.assert_allclose(own.weight, machine.coef_, atol=1e-2 * np.abs(machine.coef_).max())
        np.testing.assert_allclose(own.bias, machine.intercept_, atol=1e-2 * max(1, np.abs(machine.intercept_).max()))
