"""VGGish: log-mel examples against a plain numpy reading of the definition and against stored numbers.

`python tests/unit/features/test_vggish.py` writes the golden file anew, from the numpy reading alone.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrec.features.vggish import (
    EXAMPLE_SAMPLES,
    RATE_HZ,
    VGGish,
    build_vggish,
    example_time_s,
    log_mel_examples,
    quantise,
    random_vggish,
)

GOLDEN = Path(__file__).parent / "golden_log_mel.json"


def chirp(seconds: float = 2.5) -> np.ndarray:
    """100 Hz to 7 kHz, rising in loudness: float32 mono at 16 kHz."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (100 * t + (7000 - 100) / (2 * seconds) * t**2)
    return (0.8 * t / seconds * np.sin(phase)).astype(np.float32)


def plain_log_mel(audio: np.ndarray) -> np.ndarray:
    """The definition, window by window: 25 ms Hann every 10 ms, magnitudes of 512 points, 64 mel triangles, log."""

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log1p(np.asarray(hz) / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    bins = mel(np.arange(257) * RATE_HZ / 512)
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    triangles[0] = 0
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    starts = range(0, len(audio) - 399, 160)
    magnitudes = np.array(
        [np.abs(np.fft.rfft(audio[start : start + 400].astype(np.float64) * hann, 512)) for start in starts]
    )
    log_mel = np.log(magnitudes @ triangles + 0.01)
    return log_mel[: len(log_mel) // 96 * 96].reshape(-1, 96, 64)


def golden_sample(examples_AMB: np.ndarray) -> list[list[float]]:
    """Every 12th frame and every 8th band of each example, flattened per example."""
    return [[round(float(value), 5) for value in example[::12, ::8].ravel()] for example in examples_AMB]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return random_vggish(seed=0)


def test_log_mel_has_its_golden_values() -> None:
    examples = log_mel_examples(chirp())
    assert examples.shape == (2, 1, 96, 64)
    assert examples.dtype == np.float32
    np.testing.assert_allclose(golden_sample(examples[:, 0]), json.loads(GOLDEN.read_text()), rtol=0, atol=2e-5)


def test_log_mel_agrees_with_the_plain_definition() -> None:
    np.testing.assert_allclose(log_mel_examples(chirp())[:, 0], plain_log_mel(chirp()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 399, 4800, EXAMPLE_SAMPLES - 1])
def test_short_audio_is_padded_with_zeros_to_one_example(samples: int) -> None:
    audio = chirp()[10_000 : 10_000 + samples]
    padded = np.concatenate([audio, np.zeros(EXAMPLE_SAMPLES - samples, np.float32)])
    examples = log_mel_examples(audio)
    assert examples.shape == (1, 1, 96, 64)
    np.testing.assert_array_equal(examples, log_mel_examples(padded))


@pytest.mark.parametrize(("samples", "count"), [(EXAMPLE_SAMPLES, 1), (30_959, 1), (30_960, 2), (36 * RATE_HZ, 37)])
def test_examples_do_not_overlap_and_an_unfilled_rest_is_dropped(samples: int, count: int) -> None:
    assert len(log_mel_examples(np.zeros(samples, np.float32))) == count


def test_an_example_begins_at_its_time() -> None:
    times = example_time_s(3)
    assert times.dtype == np.float32
    np.testing.assert_allclose(times, [0, 0.96, 1.92])
    start = round(float(times[1]) * RATE_HZ)
    second = log_mel_examples(chirp()[start : start + EXAMPLE_SAMPLES])
    np.testing.assert_allclose(second[0], log_mel_examples(chirp())[1], atol=1e-6)


def test_silence_is_log_of_the_offset_and_its_embedding_finite(network: torch.nn.Module) -> None:
    examples = log_mel_examples(np.zeros(RATE_HZ, np.float32))
    np.testing.assert_allclose(examples, np.log(0.01), rtol=1e-6)
    assert np.isfinite(VGGish(network, batch=4)(examples)).all()


def test_embeddings_are_float32_of_128_whatever_the_batch(network: torch.nn.Module) -> None:
    examples = log_mel_examples(np.tile(chirp(), 3))
    embeddings = VGGish(network, batch=2)(examples)
    assert embeddings.shape == (len(examples), 128)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(VGGish(network, batch=16)(examples), embeddings, rtol=0, atol=1e-4)
    assert VGGish(network, batch=2)(examples[:0]).shape == (0, 128)


def test_random_weights_tell_sounds_apart_where_pytorchs_own_do_not(network: torch.nn.Module) -> None:
    examples = np.concatenate([log_mel_examples(sound) for sound in unlike_sounds()])
    torch.manual_seed(0)
    default, ours = VGGish(build_vggish(), batch=16)(examples), VGGish(network, batch=16)(examples)
    assert (default.max(axis=0) <= 0).sum() > 30
    assert (ours.max(axis=0) <= 0).sum() <= 4
    assert ours.std(axis=0).mean() > 0.1  # against 4e-4
    distances = np.linalg.norm(ours[:, None] - ours[None], axis=-1) + np.eye(len(ours)) * 1e9
    assert distances.min() > 0.05 * np.median(distances)


def unlike_sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.arange(RATE_HZ) / RATE_HZ
    tones = [0.5 * np.sin(2 * np.pi * hz * t) for hz in (110, 220, 440, 880, 1760, 3520)]
    squares = [0.3 * np.sign(tone) for tone in tones]
    noises = [rng.normal(0, level, RATE_HZ) for level in (0.01, 0.1, 0.3)]
    clicks = [np.where((t * rate) % 1 < 0.1, noises[2], 0) for rate in (2, 5, 11)]
    return [sound.astype(np.float32) for sound in (*tones, *squares, *noises, *clicks, chirp(1.0), 0 * t)]


def test_random_network_follows_its_seed(network: torch.nn.Module) -> None:
    same, other = random_vggish(seed=0).state_dict(), random_vggish(seed=1).state_dict()
    assert all(torch.equal(tensor, same[key]) for key, tensor in network.state_dict().items())
    assert not torch.equal(same["features.0.weight"], other["features.0.weight"])


def test_pca_gives_what_the_release_gives(network: torch.nn.Module) -> None:
    from torchvggish.torchvggish import Postprocessor

    generator = torch.Generator().manual_seed(0)
    eigenvectors, means = torch.randn(128, 128, generator=generator), torch.randn(128, 1, generator=generator)
    released = Postprocessor.__new__(Postprocessor)  # its constructor downloads
    released._pca_matrix, released._pca_means = eigenvectors, means
    raw = VGGish(network, batch=8)(log_mel_examples(chirp()))
    processed = VGGish(network, batch=8, pca=(eigenvectors, means))(log_mel_examples(chirp()))
    np.testing.assert_array_equal(processed, released.postprocess(torch.from_numpy(raw)).numpy())
    assert processed.dtype == np.float32
    assert processed.shape == raw.shape


def test_quantised_values_are_whole_numbers_of_0_to_255() -> None:
    embeddings = torch.linspace(-9, 9, 128).repeat(3, 1)
    values = quantise(embeddings, torch.eye(128), torch.zeros(128))
    assert torch.equal(values, values.round())
    assert values.min() == 0
    assert values.max() == 255
    assert torch.equal(quantise(torch.zeros(1, 128), torch.eye(128), torch.zeros(128)), torch.full((1, 128), 128.0))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_sample(plain_log_mel(chirp())), indent=1) + "\n")
