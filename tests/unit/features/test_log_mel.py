"""Sound without a network: what the 128 numbers of an example are."""

import numpy as np

from actionrec.features.log_mel import statistics
from actionrec.features.vggish import RATE_HZ, log_mel_examples

BANDS = 64


def tone(hz: float, seconds: float = 2.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def test_the_first_half_is_each_bands_mean_the_second_its_deviation() -> None:
    examples = np.random.default_rng(0).normal(3, 2, (3, 1, 96, BANDS)).astype(np.float32)
    found = statistics(examples)
    assert found.shape == (3, 2 * BANDS) and found.dtype == np.float32
    for example, row in zip(examples, found, strict=True):
        for band in range(BANDS):
            values = example[0, :, band]
            assert abs(row[band] - values.mean()) < 1e-5
            assert abs(row[BANDS + band] - values.std()) < 1e-5


def test_a_higher_tone_is_loudest_in_a_higher_band_and_a_steady_one_varies_less_than_a_beating_one() -> None:
    low, high = (statistics(log_mel_examples(tone(hz)))[0] for hz in (200, 3000))
    assert low[:BANDS].argmax() < high[:BANDS].argmax()
    beating = tone(200) * np.linspace(0, 1, 2 * RATE_HZ, dtype=np.float32)
    varies = statistics(log_mel_examples(beating))[0, BANDS:].mean()
    assert varies > 2 * low[BANDS:].mean()


def test_silence_is_finite_and_does_not_vary() -> None:
    found = statistics(log_mel_examples(np.zeros(RATE_HZ, np.float32)))
    assert np.allclose(found[:, :BANDS], np.log(0.01), atol=1e-4) and np.allclose(found[:, BANDS:], 0, atol=1e-5)
