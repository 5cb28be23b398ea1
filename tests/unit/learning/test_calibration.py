"""Probabilities: they add up, keep the order, mean what they say, and promise no more than the videos allow."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.svm import LinearSVC

from actionrec.learning.calibration import Calibration, calibrate, restored


def made(videos: int, classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and classes drawn with the probabilities that they have at this temperature."""
    random = np.random.default_rng(seed)
    margin_NC = random.normal(size=(videos, classes))
    chance_NC = softmax(margin_NC / temperature, axis=1)
    return margin_NC, np.array([random.choice(classes, p=chance_C) for chance_C in chance_NC])


@pytest.mark.parametrize("classes", [2, 3, 14, 101])
def test_they_add_up_to_one_and_keep_the_order_of_the_margins(classes: int) -> None:
    margin_NC, target_N = made(50, classes, 0.5)
    found = calibrate(margin_NC, target_N)
    for margin_C in margin_NC:
        chance_C = found.probabilities(margin_C)
        assert chance_C is not None and chance_C.sum() == pytest.approx(1, abs=1e-12) and (chance_C >= 0).all()
        assert (np.argsort(chance_C) == np.argsort(margin_C)).all()


@pytest.mark.parametrize("temperature", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_temperature_that_made_the_classes_is_found(classes: int, temperature: float) -> None:
    margin_NC, target_N = made(20_000, classes, temperature)
    assert calibrate(margin_NC, target_N).temperature == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("classes", [2, 5])
def test_with_many_videos_it_is_scikit_learns_temperature_scaling(classes: int) -> None:
    random = np.random.default_rng(1)
    target_N = np.arange(6000) % classes
    x_NF = random.normal(size=(classes, 8))[target_N] + 2 * random.normal(size=(6000, 8))
    machine = LinearSVC(loss="hinge").fit(x_NF[:2000], target_N[:2000])
    theirs = CalibratedClassifierCV(FrozenEstimator(machine), method="temperature").fit(x_NF[2000:], target_N[2000:])
    margins = machine.decision_function(x_NF[2000:])
    margin_NC = np.stack([-margins, margins], axis=1) if classes == 2 else margins
    mine = calibrate(margin_NC, target_N[2000:])
    expected_NC = theirs.predict_proba(x_NF[2000:2100])
    found_NC = np.stack([mine.probabilities(margin_C) for margin_C in margin_NC[:100]])  # type: ignore[arg-type]
    np.testing.assert_allclose(found_NC, expected_NC, atol=0.01)


@pytest.mark.parametrize("videos", [20, 200])
@pytest.mark.parametrize("classes", [2, 10])
def test_margins_without_a_mistake_are_not_called_certain(classes: int, videos: int) -> None:
    target_N = np.arange(videos) % classes
    margin_NC = np.where(target_N[:, None] == np.arange(classes), 1.0, -1.0)
    chance_C = calibrate(margin_NC, target_N).probabilities(margin_NC[0])
    assert chance_C is not None and chance_C[0] == pytest.approx((videos + 1) / (videos + 2), abs=1e-3)


def test_margins_that_say_nothing_give_every_class_the_same() -> None:
    random = np.random.default_rng(0)
    margin_NC, target_N = random.normal(size=(5000, 4)), random.integers(4, size=5000)
    chance_C = calibrate(margin_NC, target_N).probabilities(margin_NC[0])
    np.testing.assert_allclose(chance_C, 0.25, atol=0.05)
    assert calibrate(np.zeros((30, 4)), target_N[:30]).probabilities(np.zeros(4)) is not None  # nor do equal ones fail


def test_below_twenty_videos_nothing_is_said_and_videos_without_margins_do_not_count() -> None:
    margin_NC, target_N = made(25, 3, 1.0)
    margin_NC[20:] = np.nan
    assert calibrate(margin_NC, target_N) == calibrate(margin_NC[:20], target_N[:20])
    assert calibrate(margin_NC[1:], target_N[1:]) == Calibration(None, 19)
    assert Calibration(None, 19).probabilities(margin_NC[0]) is None


def test_what_is_stored_comes_back_and_nonsense_is_refused() -> None:
    for each in (Calibration(0.3, 40), Calibration(None, 4)):
        assert restored(each.described()) == each
    for bad in ({"temperature": 0, "videos": 40}, {"temperature": float("nan"), "videos": 40}, {"videos": 40}):
        with pytest.raises((KeyError, ValueError)):
            restored(bad)
