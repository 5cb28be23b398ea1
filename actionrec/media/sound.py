"""The sounds of the synthetic data set: a low hum and a high whistle, alike in everything but their spectrum."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SoundKind = Literal["hum", "whistle"]


def play(
    sound: SoundKind, sample_count: int, rate_hz: int, group: np.random.Generator, clip: np.random.Generator
) -> NDArray[np.float32]:
    """Mono float32 [S] in -1..1. Fresh generators: `group` draws pitch and room, `clip` draws gain and beat."""
    pitch, room_noise = 2 ** group.uniform(0, 0.5), group.uniform(0.02, 0.06)
    gain, beat_hz, phase_rad = clip.uniform((0.05, 3, 0), (0.12, 6, 2 * math.pi))
    time_s = np.arange(sample_count) / rate_hz
    tone = VOICES[sound](2 * math.pi * pitch * time_s)
    swell = 1 + 0.5 * np.sin(2 * math.pi * beat_hz * time_s + phase_rad)
    hiss = room_noise * clip.standard_normal(sample_count)
    samples: NDArray[np.float64] = gain * (swell * tone / tone.std() + hiss)
    return np.clip(samples, -1, 1).astype(np.float32)


def _hum(turn_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """140 Hz and its overtones at pitch 1. turn_rad [S]: the phase of a tone of 1 Hz at the pitch wanted."""
    tone = np.zeros_like(turn_rad)
    for overtone in range(1, 7):
        tone += np.sin(140 * overtone * turn_rad) / overtone
    return tone


def _whistle(turn_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """1600 Hz at pitch 1, trembling by a few per cent."""
    tone: NDArray[np.float64] = np.sin(1600 * turn_rad + 12 * np.sin(5 * turn_rad))
    return tone


VOICES: dict[SoundKind, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {"hum": _hum, "whistle": _whistle}
