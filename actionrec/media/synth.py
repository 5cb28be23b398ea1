"""A procedural data set of real encoded files in UCF101's own layout, learnable by every stream, made from a seed.

A class = appearance x motion x sound. A ball of one colour moves before a textured wall while a sound plays:

    class                    appearance  motion                              sound
    ShakeRedHumming          red         swings sideways                     hum
    ShakeBlueHumming         blue        swings sideways                     hum
    BounceRedHumming         red         swings up and down                  hum
    BounceBlueHumming        blue        swings up and down                  hum
    BounceRedWhistling       red         swings up and down                  whistle
    ShakeBlueWhistling       blue        swings sideways                     whistle
    PushPullRedWhistling     red         one sweep right, then one left      whistle
    PullPushRedWhistling     red         one sweep left, then one right      whistle
    LiftDropBlueWhistling    blue        one sweep up, then one down         whistle
    DropLiftBlueWhistling    blue        one sweep down, then one up         whistle

What each pair of classes that differ in one factor needs, and all it needs:

- appearance (two pairs): the colour. Red and blue have equal luminance, so the optical flow is the same.
- sound (two pairs): the log-mel spectrum. The pictures are the same to the bit.
- motion (six pairs; a swing or sweep along x against one along y): the mean size of the flow's components. The ball
  never leaves the picture, so the mean colour differs only by what of the wall it happens to cover.
- order (two pairs): which half of the clip holds which sweep. Both classes show the same frames and the same pairs of
  successive frames, only in another order, so every mean over time is equal (but for the camera's noise).

Everything else is drawn from (seed, group, clip) and never from the class: g03_c02 of any two classes has the same
wall, ball size, home, start phase, speed, bursts, pitch, gain, noise, codec and kind of sound track. Whatever is not
the class's own factor is therefore *identical* in both classes of a pair, and a classifier that looks at it gives the
same answer to both: 50 % by construction, not by averaging. Clips of a group share wall, ball, place and pitch: they
are near copies, as in UCF101, so a group that is both in train and test shows.

One clip in ten has no sound to hear (half of them a silent track, half no track), in every class alike. Two classes
that differ only in sound cannot be told apart there: no system can be right on more than 95 % of such a pair.

The ball moves in bursts: about half of each second it stands, at its beginning or at its end. Which, is drawn like all
else from (seed, group, clip) and is the same in both halves of a clip; something moves in the middle of it either way.
So whoever takes frames where the picture moves takes others than whoever takes every n-th. A longer clip swings on,
burst after burst; its sweeps still take a second each at the beginning of a half, rest included, and then the ball
stands.
"""

import functools
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionrec.errors import InputError
from actionrec.media.encode import encode
from actionrec.media.scene import Appearance, Movement, render
from actionrec.media.sound import SoundKind, play

FRAME_RATE = Fraction(25)  # UCF101's
AUDIO_RATE_HZ = 16_000
LISTS = "ucfTrainTestlist"  # UCF101's own name for the folder of split lists
SPEC_FILE = ".synth.json"  # what the folder is being made from; written first
VERSION = 2  # raised when a rendered frame changes
PICTURES, SOUND = 1, 2  # random numbers for one are not those for the other
TEST_SHARE = 7 / 25  # UCF101 tests on 7 of its 25 groups

TrackKind = Literal["sound", "silent", "none"]
SILENCE_PERIOD = 20  # of so many clips of a class
UNHEARD: dict[int, TrackKind] = {4: "silent", 12: "none"}  # these have a track of zeros, or none


class ActionClass(NamedTuple):
    name: str
    appearance: Appearance
    motion: Movement
    sound: SoundKind


CLASSES = (
    ActionClass("ShakeRedHumming", "red", "shake", "hum"),
    ActionClass("ShakeBlueHumming", "blue", "shake", "hum"),
    ActionClass("BounceRedHumming", "red", "bounce", "hum"),
    ActionClass("BounceBlueHumming", "blue", "bounce", "hum"),
    ActionClass("BounceRedWhistling", "red", "bounce", "whistle"),
    ActionClass("ShakeBlueWhistling", "blue", "shake", "whistle"),
    ActionClass("PushPullRedWhistling", "red", "right_left", "whistle"),
    ActionClass("PullPushRedWhistling", "red", "left_right", "whistle"),
    ActionClass("LiftDropBlueWhistling", "blue", "up_down", "whistle"),
    ActionClass("DropLiftBlueWhistling", "blue", "down_up", "whistle"),
)


class Codec(NamedTuple):
    video: str
    video_options: dict[str, str]
    audio: str


CODECS = (  # all in .avi, the only file name UCF101's lists know
    Codec("mpeg4", {"qmin": "3", "qmax": "3"}, "libmp3lame"),
    Codec("libx264", {"preset": "veryfast"}, "libmp3lame"),
    Codec("libx264", {"preset": "veryfast"}, "aac"),
)


@dataclass(frozen=True)
class SynthSpec:
    """What to make. Equal specs give equal bytes; the defaults are the demo's 200 clips."""

    seed: int = 0
    classes: int = len(CLASSES)  # the first so many of CLASSES
    groups: int = 10  # of each class
    clips_per_group: int = 2
    seconds: float = 2.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seed", 0, 2**31 - 1),
            ("classes", 2, len(CLASSES)),
            ("groups", 3, 99),  # three splits test on three different groups
            ("clips_per_group", 1, 99),
            ("seconds", 0.4, 60),  # a clip is held in memory raw: 17 MB a second
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"synth: {name} is {getattr(self, name)}; choose a value from {low} to {high}.")


@dataclass(frozen=True)
class SynthSummary:
    clips: int
    bytes: int
    silent_tracks: int  # clips whose sound track holds only zeros
    without_track: int


class SynthClip(NamedTuple):
    """One clip to make; group and number count from 1."""

    action: ActionClass
    group: int
    number: int
    codec: Codec
    track: TrackKind

    @property
    def path(self) -> str:
        return f"{self.action.name}/v_{self.action.name}_g{self.group:02d}_c{self.number:02d}.avi"


def write_dataset(
    out: Path,
    spec: SynthSpec = SynthSpec(),
    *,
    workers: int | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> SynthSummary:
    """Make OUT/Class/v_Class_gXX_cYY.avi and OUT/ucfTrainTestlist; the bytes do not depend on `workers`.

    workers: processes (default: one a core; 1 works in this process). on_clip(done, total) follows each clip made.
    What an interrupted call of the same spec left is completed; a finished set is left as it is.
    Raises InputError for a folder that holds anything else.
    """
    clips = list(plan(spec))
    _claim(out, spec)
    missing = [clip for clip in clips if not (out / clip.path).exists()]
    for done, _ in enumerate(_write_all(out, spec, missing, workers), start=1):
        if on_clip:
            on_clip(done, len(missing))
    _write_lists(out, spec, clips)
    size = sum((out / clip.path).stat().st_size for clip in clips)
    tracks = [clip.track for clip in clips]
    return SynthSummary(len(clips), size, tracks.count("silent"), tracks.count("none"))


def plan(spec: SynthSpec) -> Iterator[SynthClip]:
    """Every clip of the set, by class, group and number. Codec and track depend on the last two only."""
    for action in CLASSES[: spec.classes]:
        for group in range(1, spec.groups + 1):
            for number in range(1, spec.clips_per_group + 1):
                index = (group - 1) * spec.clips_per_group + number - 1
                track = UNHEARD.get(index % SILENCE_PERIOD, "sound")
                yield SynthClip(action, group, number, CODECS[index % len(CODECS)], track)


def shoot(spec: SynthSpec, clip: SynthClip) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """A clip before it is encoded: frames uint8 [T, 240, 320, 3] RGB at 25 a second; sound float32 [S] at 16 kHz."""
    frame_count, sample_count = round(spec.seconds * FRAME_RATE), round(spec.seconds * AUDIO_RATE_HZ)
    frames_THWC = render(clip.action.appearance, clip.action.motion, frame_count, *_generators(spec, clip, PICTURES))
    if clip.track == "none":
        return frames_THWC, None
    if clip.track == "silent":
        return frames_THWC, np.zeros(sample_count, np.float32)
    return frames_THWC, play(clip.action.sound, sample_count, AUDIO_RATE_HZ, *_generators(spec, clip, SOUND))


def held_out_groups(spec: SynthSpec, split: int) -> range:
    """The groups that split 1, 2 or 3 tests on: as in UCF101 the first few, the next few, and the next."""
    width = max(1, round(TEST_SHARE * spec.groups))
    return range(1 + width * (split - 1), 1 + width * split)


def _generators(spec: SynthSpec, clip: SynthClip, purpose: int) -> tuple[np.random.Generator, np.random.Generator]:
    """What varies from group to group, and from clip to clip. The class has no part in it (module docstring)."""
    return (
        np.random.default_rng([spec.seed, purpose, clip.group]),
        np.random.default_rng([spec.seed, purpose, clip.group, clip.number]),
    )


def _claim(out: Path, spec: SynthSpec) -> None:
    """Note in an empty folder what it is for; refuse a folder that is for something else."""
    note = out / SPEC_FILE
    wanted = json.dumps(asdict(spec) | {"version": VERSION}, indent=2) + "\n"
    for path in out.rglob("*"):
        if path.is_symlink():
            raise InputError(f"{path} is a link, and nothing is rendered through links; name a new folder.")
    if note.exists() and note.read_text() == wanted:
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} already holds something else; name a new folder for the synthetic data set.")
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(wanted)


def _write_all(out: Path, spec: SynthSpec, clips: list[SynthClip], workers: int | None) -> Iterator[None]:
    """Write the clips, yielding after each one."""
    write = functools.partial(_write_clip, out, spec)
    processes = min(workers or os.cpu_count() or 1, len(clips))
    if processes <= 1:
        yield from map(write, clips)
        return
    # Not forked: the caller may have threads, and a copied lock of theirs would stay locked for ever.
    context = multiprocessing.get_context("spawn")
    ignore_interrupt = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer, once
    with ProcessPoolExecutor(processes, context, initializer=signal.signal, initargs=ignore_interrupt) as pool:
        yield from pool.map(write, clips)


def _write_clip(out: Path, spec: SynthSpec, clip: SynthClip) -> None:
    frames_THWC, audio = shoot(spec, clip)
    data = encode(
        "avi",
        frames_THWC,
        FRAME_RATE,
        video_codec=clip.codec.video,
        video_options=clip.codec.video_options,
        audio=audio,
        audio_rate_hz=AUDIO_RATE_HZ,
        audio_codec=clip.codec.audio,
    )
    _put(out / clip.path, data)


def _write_lists(out: Path, spec: SynthSpec, clips: list[SynthClip]) -> None:
    """UCF101's lists: classes by number from 1, a label beside each training clip and none beside a test clip."""
    index_of = {name: index for index, name in enumerate(sorted({clip.action.name for clip in clips}), start=1)}
    clips = sorted(clips, key=lambda clip: clip.path)
    lists = {"classInd.txt": [f"{index} {name}" for name, index in index_of.items()]}
    for split in (1, 2, 3):
        tested = held_out_groups(spec, split)
        train = [clip for clip in clips if clip.group not in tested]
        lists[f"trainlist{split:02d}.txt"] = [f"{clip.path} {index_of[clip.action.name]}" for clip in train]
        lists[f"testlist{split:02d}.txt"] = [clip.path for clip in clips if clip.group in tested]
    for name, lines in lists.items():
        _put(out / LISTS / name, "".join(f"{line}\r\n" for line in lines).encode())  # the official line ends


def _put(path: Path, data: bytes) -> None:
    """A file is either there whole or not there: an interrupted run must not leave half a clip under its name."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(data)
    unfinished.replace(path)
