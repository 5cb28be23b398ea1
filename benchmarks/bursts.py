"""Clips in which nothing happens but for six frames: what adaptive sampling is held against constant steps on.

A grey ball rests before a textured wall, under camera noise; the camera sways by a pixel at most. At a random time the
ball hops to a random side and is back six frames later; while it hops it shows its class's colour. Grey and all colours
have equal luminance, so the optical flow of a hop is the same for every class, and the colour is all there is to tell.
Everything else is drawn from (seed, group) and never from the class: before they are encoded, a group's clips, one of
each class, are equal to the bit outside the burst. So a group lies on one side of the split as a whole.
"""

import csv
import functools
import hashlib
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from actionrec.media.encode import encode

VERSION = 1  # raised when a rendered frame changes
RATE = Fraction(25)
FRAMES, BURST = 125, 6  # 5 s: 25 frames at the paper's 5 a second; a budget of 6 and one of 25 meet every n-th frame
WIDTH, HEIGHT = 320, 240
NOISE = 2.0  # grey levels, as in actionrec.media.scene
SWAY_PX, SWAY_FRAMES = 1.0, 100  # the most that a camera sways, and how long it takes to sway there and back
CLASSES = {"Red": (205, 62, 40), "Blue": (45, 104, 245), "Green": (30, 140, 97), "Magenta": (160, 50, 216)}  # RGB
REST_RGB = (102, 102, 102)
TEST_SHARE, VAL_SHARE = 0.3, 0.2  # of the groups
CSV = "clips.csv"


@dataclass(frozen=True)
class Spec:
    seed: int = 0
    groups: int = 100  # a clip of each class in each

    def split(self, group: int) -> str:
        tested, validated = round(TEST_SHARE * self.groups), max(1, round(VAL_SHARE * self.groups))
        return "test" if group < tested else "val" if group < tested + validated else "train"


class Clip(NamedTuple):
    label: str
    group: int  # from 0

    @property
    def path(self) -> str:
        return f"{self.label}/{self.label}_g{self.group:03d}.mp4"


def plan(spec: Spec) -> list[Clip]:
    return [Clip(label, group) for label in CLASSES for group in range(spec.groups)]


def burst(spec: Spec, group: int) -> range:
    """The frames in which the ball is away and coloured."""
    start = int(np.random.default_rng([spec.seed, 1, group]).integers(BURST, FRAMES - 2 * BURST + 1))
    return range(start, start + BURST)


def render(spec: Spec, clip: Clip) -> NDArray[np.uint8]:
    """Frames uint8 [FRAMES, 240, 320, 3] RGB."""
    rng, away = np.random.default_rng([spec.seed, 2, clip.group]), burst(spec, clip.group)
    side_rad, hop_px, exposure, phase_rad = rng.uniform((0, 45, 0.95, 0), (2 * math.pi, 60, 1.05, 2 * math.pi))
    home_px, radius_px, sway_xy = rng.uniform((120, 105), (200, 135)), rng.uniform(28, 34), rng.uniform(-1, 1, 2)
    wall_HWC = _wall(rng)
    frames_THWC = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    at_rest_HWC = _with_ball(wall_HWC, home_px, radius_px, REST_RGB)
    for frame in range(FRAMES):
        picture_HWC = at_rest_HWC
        if frame in away:
            offset_px = hop_px * math.sin(math.pi * (frame - away.start + 1) / (BURST + 1))
            centre_px = home_px + offset_px * np.array((math.cos(side_rad), math.sin(side_rad)))
            picture_HWC = _with_ball(wall_HWC, centre_px, radius_px, CLASSES[clip.label])
        sway = SWAY_PX * math.sin(phase_rad + 2 * math.pi * frame / SWAY_FRAMES)
        picture_HWC = _shifted(picture_HWC, sway * sway_xy)
        picture_HWC = picture_HWC * exposure + NOISE * rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
        frames_THWC[frame] = np.clip(np.rint(picture_HWC), 0, 255)
    return frames_THWC


def fingerprint(spec: Spec) -> str:
    """A hash of some rendered frames of each class: equal where the generator is the same."""
    digest = hashlib.sha256(f"{VERSION} {spec}".encode())
    for label in CLASSES:
        clip, start = Clip(label, spec.groups - 1), burst(spec, spec.groups - 1).start
        digest.update(render(spec, clip)[[0, start - 1, start, start + BURST // 2, start + BURST]].tobytes())
    return digest.hexdigest()[:16]


def write(out: Path, spec: Spec, workers: int) -> None:
    """Make OUT/Class/*.mp4 and OUT/clips.csv (path, label, group, split). What is there already is left as it is."""
    clips = plan(spec)
    missing = [clip for clip in clips if not (out / clip.path).exists()]
    for label in CLASSES:
        (out / label).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(functools.partial(_write_clip, out, spec), missing))
    with open(out / CSV, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "group", "split"))
        rows.writerows((clip.path, clip.label, f"g{clip.group:03d}", spec.split(clip.group)) for clip in clips)


def _write_clip(out: Path, spec: Spec, clip: Clip) -> None:
    target = out / clip.path
    unfinished = target.with_suffix(".tmp")
    unfinished.write_bytes(encode("mp4", render(spec, clip), RATE, video_options={"preset": "veryfast"}))
    os.replace(unfinished, target)


def _wall(rng: np.random.Generator) -> NDArray[np.float32]:
    """[H, W, 3]: grey blotches of several sizes, which flow can hold on to."""
    texture = sum(
        cv2.resize(rng.standard_normal((HEIGHT // size, WIDTH // size)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for size in (8, 16, 32)
    )
    grey = rng.uniform(120, 165) + 22 * (texture - np.mean(texture)) / np.std(texture)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


def _with_ball(
    wall_HWC: NDArray[np.float32], centre_px: NDArray[np.float64], radius_px: float, rgb: tuple[int, int, int]
) -> NDArray[np.float32]:
    """The wall behind a ball with a soft edge and a chequered shade that moves with it."""
    y_px, x_px = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x_px, y_px = x_px - np.float32(centre_px[0]), y_px - np.float32(centre_px[1])
    cover = np.clip(radius_px + 0.5 - np.hypot(x_px, y_px), 0, 1)[..., None]
    shade = (0.8 + 0.2 * np.sin(x_px / 2) * np.sin(y_px / 2))[..., None]
    return wall_HWC + cover * (shade * np.array(rgb, np.float32) - wall_HWC)


def _shifted(picture_HWC: NDArray[np.float32], by_px: NDArray[np.float64]) -> NDArray[np.float32]:
    shift = np.array([[1, 0, by_px[0]], [0, 1, by_px[1]]])
    return cv2.warpAffine(picture_HWC, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
