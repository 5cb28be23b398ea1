"""The pictures of the synthetic data set: a textured ball that moves before a wall, in bursts, and rests in between.

Both generators are read in one fixed order whatever is shown, so two clips of equal generators differ in nothing but
the appearance and the motion asked for.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240  # UCF101's
FRAMES_PER_S = 25
PERIOD_FRAMES = 25  # a burst and its rest take a second, or half the clip where that is shorter
NOISE_MARGIN = 64  # a frame's noise is a window, placed at random, of a field larger by this

Appearance = Literal["red", "blue"]
Movement = Literal["shake", "bounce", "right_left", "left_right", "up_down", "down_up"]

COLOUR_RGB: dict[Appearance, tuple[float, float, float]] = {  # equal luminance (0.299 R + 0.587 G + 0.114 B = 102)
    "red": (205, 62, 40),
    "blue": (45, 104, 245),
}
SWINGS_XY: dict[Movement, tuple[int, int]] = {"shake": (1, 0), "bounce": (0, 1)}
FIRST_SWEEP_XY: dict[Movement, tuple[int, int]] = {  # x to the right, y downwards
    "right_left": (1, 0),
    "left_right": (-1, 0),
    "up_down": (0, -1),
    "down_up": (0, 1),
}


@dataclass(frozen=True)
class Scenery:
    """What all clips of a group share."""

    wall_HWC: NDArray[np.float32]
    home_px: NDArray[np.float64]  # [2] x, y: the middle of every motion
    radius_px: float
    stripe_angle_rad: float
    stripe_px: float


@dataclass(frozen=True)
class Take:
    """What differs between two clips of a group."""

    swing_px: float
    swing_hz: float
    phase_rad: float
    sweep_px: float
    burst: float  # the share of a period in which the ball moves
    rests_first: bool  # in each period; else it begins with the burst
    exposure: float
    noise: NDArray[np.float32]  # [HEIGHT + NOISE_MARGIN, WIDTH + NOISE_MARGIN]
    noise_offsets: NDArray[np.int64]  # [T, 2]


def render(
    appearance: Appearance, motion: Movement, frame_count: int, group: np.random.Generator, clip: np.random.Generator
) -> NDArray[np.uint8]:
    """Frames uint8 [T, 240, 320, 3] RGB, 25 a second. `group` and `clip` are fresh generators of what varies."""
    scenery, take = _draw_scenery(group), _draw_take(clip, frame_count)
    frames_THWC = np.empty((frame_count, HEIGHT, WIDTH, 3), np.uint8)
    for index, offset_px in enumerate(_path(motion, take, frame_count)):
        picture_HWC = scenery.wall_HWC.copy()
        _paint_ball(picture_HWC, scenery.home_px + offset_px, scenery, COLOUR_RGB[appearance])
        top, left = take.noise_offsets[index]
        picture_HWC *= take.exposure
        picture_HWC += take.noise[top : top + HEIGHT, left : left + WIDTH, None]
        frames_THWC[index] = np.clip(np.rint(picture_HWC), 0, 255)
    return frames_THWC


def _draw_scenery(rng: np.random.Generator) -> Scenery:
    return Scenery(
        wall_HWC=_draw_wall(rng),
        home_px=rng.uniform((150, 110), (170, 130)),
        radius_px=rng.uniform(30, 38),
        stripe_angle_rad=rng.uniform(0, math.pi),
        stripe_px=rng.uniform(9, 16),
    )


def _draw_wall(rng: np.random.Generator) -> NDArray[np.float32]:
    """[H, W, 3]: a dozen plane waves of zero mean, on a grey of random brightness and a slight tint."""
    y_px, x_px = np.mgrid[:HEIGHT, :WIDTH]
    texture = np.zeros((HEIGHT, WIDTH))
    for angle_rad, wave_px, phase_rad in rng.uniform((0, 12, 0), (math.pi, 80, 2 * math.pi), (12, 3)):
        along_px = x_px * math.cos(angle_rad) + y_px * math.sin(angle_rad)
        texture += np.sin(2 * math.pi * along_px / wave_px + phase_rad)
    texture = (texture - texture.mean()) / texture.std()
    brightness, warmth, green = rng.uniform(120, 165), rng.normal(0, 2), rng.normal(0, 6)
    tint_RGB = np.array((warmth / 2, green, -warmth / 2))
    wall_HWC: NDArray[np.float64] = brightness + 22 * texture[..., None] + tint_RGB
    return wall_HWC.astype(np.float32)


def _draw_take(rng: np.random.Generator, frame_count: int) -> Take:
    return Take(
        swing_px=rng.uniform(16, 20),
        swing_hz=rng.uniform(1.4, 1.8),
        phase_rad=rng.uniform(0, 2 * math.pi),
        sweep_px=rng.uniform(84, 104),
        burst=rng.uniform(0.4, 0.55),
        rests_first=bool(rng.integers(2)),
        exposure=rng.uniform(0.93, 1.07),
        noise=2 * rng.standard_normal((HEIGHT + NOISE_MARGIN, WIDTH + NOISE_MARGIN), np.float32),
        noise_offsets=rng.integers(0, NOISE_MARGIN, (frame_count, 2)),
    )


def _path(motion: Movement, take: Take, frame_count: int) -> NDArray[np.float64]:
    """[T, 2]: where the ball is, in pixels (x, y) from its home."""
    first, second = np.split(_periods(take, frame_count), [frame_count // 2])
    if motion in SWINGS_XY:
        passed_s = np.concatenate((first, first[-1] + second)) * _period(frame_count) / FRAMES_PER_S
        angle_rad = 2 * math.pi * take.swing_hz * passed_s + take.phase_rad
        along_px, direction_xy = take.swing_px * np.sin(angle_rad), SWINGS_XY[motion]
    else:
        # The second half is one minus the first, so the opposite order, 1 - this, is this with its halves exchanged:
        # the same frames, and the same pairs of successive frames.
        there_and_back = np.concatenate((np.minimum(first, 1), 1 - np.minimum(second, 1)))
        along_px, direction_xy = take.sweep_px * (there_and_back - 0.5), FIRST_SWEEP_XY[motion]
    return np.stack([along_px * component for component in direction_xy], axis=1)


def _period(frame_count: int) -> int:
    return min(frame_count // 2, PERIOD_FRAMES)


def _periods(take: Take, frame_count: int) -> NDArray[np.float64]:
    """[T]: the ball's own time, in periods since the half of the clip began. It passes in bursts and stands in rests.

    Both halves move and rest alike, whatever the motion is.
    """
    half, period = frame_count // 2, _period(frame_count)
    whole, inside = np.divmod(np.concatenate((np.arange(half), np.arange(frame_count - half))), period)
    rest_before = 1 - take.burst if take.rests_first else 0.0
    passed = (inside / (period - 1) - rest_before) / take.burst
    found: NDArray[np.float64] = whole + np.clip(passed, 0, 1)
    return found


def _paint_ball(
    picture_HWC: NDArray[np.float32],
    centre_px: NDArray[np.float64],
    scenery: Scenery,
    colour_RGB: tuple[float, float, float],
) -> None:
    """Draw over the picture, with a soft edge and stripes that move with the ball by fractions of a pixel."""
    left, top = np.floor(centre_px - scenery.radius_px - 1).astype(int)
    size = math.ceil(2 * scenery.radius_px) + 3
    y_px, x_px = np.mgrid[top : top + size, left : left + size] - centre_px[::-1, None, None]
    cover = np.clip(scenery.radius_px + 0.5 - np.hypot(x_px, y_px), 0, 1)[..., None]
    cos, sin = math.cos(scenery.stripe_angle_rad), math.sin(scenery.stripe_angle_rad)
    scale = 2 * math.pi / scenery.stripe_px
    shade = 0.78 + 0.11 * (np.sin(scale * (cos * x_px + sin * y_px)) + np.sin(scale * (cos * y_px - sin * x_px)))
    patch = picture_HWC[top : top + size, left : left + size]
    patch += cover * (shade[..., None] * np.asarray(colour_RGB) - patch)
