"""The synthetic data set is what its docstring says: UCF101's layout, equal bytes from equal specs, paired nuisance."""

import io
import shutil
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from actionrec import config
from actionrec.errors import InputError
from actionrec.features.flow import DisFlow
from actionrec.features.sampling import sample
from actionrec.media.synth import (
    CLASSES,
    SynthClip,
    SynthSpec,
    SynthSummary,
    held_out_groups,
    plan,
    shoot,
    write_dataset,
)

SMALL = SynthSpec(classes=2, groups=4, clips_per_group=2, seconds=0.4)
DEMO = SynthSpec()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def find(class_name: str, group: int, number: int, spec: SynthSpec = DEMO) -> SynthClip:
    return next(
        clip for clip in plan(spec) if (clip.action.name, clip.group, clip.number) == (class_name, group, number)
    )


def frames_of(class_name: str, group: int = 1, number: int = 1, spec: SynthSpec = DEMO) -> NDArray[np.uint8]:
    return shoot(spec, find(class_name, group, number, spec))[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "set"
    write_dataset(out, SMALL, workers=1)
    return out


def test_layout_is_ucf101s(small: Path) -> None:
    names = [clip.path for clip in plan(SMALL)]
    assert names[0] == "ShakeRedHumming/v_ShakeRedHumming_g01_c01.avi"
    lists = [f"{kind}list{split:02d}.txt" for kind in ("train", "test") for split in (1, 2, 3)]
    assert set(contents(small)) == {*names, ".synth.json", *(f"ucfTrainTestlist/{n}" for n in ["classInd.txt", *lists])}


def test_lists_have_the_official_form(small: Path) -> None:
    folder = small / "ucfTrainTestlist"
    assert (folder / "classInd.txt").read_bytes() == b"1 ShakeBlueHumming\r\n2 ShakeRedHumming\r\n"
    train = (folder / "trainlist01.txt").read_text().splitlines()
    test = (folder / "testlist01.txt").read_text().splitlines()
    assert train[0] == "ShakeBlueHumming/v_ShakeBlueHumming_g02_c01.avi 1"
    assert train[-1] == "ShakeRedHumming/v_ShakeRedHumming_g04_c02.avi 2"
    assert test[0] == "ShakeBlueHumming/v_ShakeBlueHumming_g01_c01.avi"
    assert sorted([line.split()[0] for line in train] + test) == sorted(clip.path for clip in plan(SMALL))


@pytest.mark.parametrize("groups", [3, 4, 6, 9, 10, 25, 99])
def test_splits_test_on_different_groups(groups: int) -> None:
    tested = [held_out_groups(SynthSpec(groups=groups), split) for split in (1, 2, 3)]
    assert len(set().union(*tested)) == sum(map(len, tested))
    assert max(max(t) for t in tested) <= groups
    if groups == 25:
        assert tested == [range(1, 8), range(8, 15), range(15, 22)]  # UCF101's own


def test_equal_specs_give_equal_bytes_for_any_number_of_processes(small: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", SMALL, workers=2)
    assert contents(tmp_path / "again") == contents(small)


def test_another_seed_gives_other_pictures_and_sound() -> None:
    clip = next(plan(DEMO))
    (frames, sound), (others, other) = shoot(DEMO, clip), shoot(SynthSpec(seed=1), clip)
    assert np.abs(frames.astype(int) - others).mean() > 5
    assert sound is not None
    assert other is not None
    assert np.abs(sound - other).max() > 0.01


def test_files_decode_to_what_was_planned(small: Path) -> None:
    for clip in plan(SMALL):
        with av.open(io.BytesIO((small / clip.path).read_bytes())) as file:
            video = file.streams.video[0]
            assert (video.width, video.height, video.average_rate, video.frames) == (320, 240, 25, 10)
            assert len(list(file.decode(video=0))) == 10
            assert bool(file.streams.audio) == (clip.track != "none")
            assert {"h264": "libx264"}.get(video.codec.name, video.codec.name) == clip.codec.video


def test_an_interrupted_set_is_completed_and_a_finished_one_left_alone(small: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_dataset(tmp_path, SMALL, workers=1)
    lost = tmp_path / next(plan(SMALL)).path
    lost.unlink()
    (tmp_path / "ucfTrainTestlist" / "testlist01.txt").unlink()
    again = write_dataset(tmp_path, SMALL, workers=1, on_clip=lambda done, total: calls.append((done, total)))
    assert contents(tmp_path) == contents(small)
    assert calls == [(1, 1)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.avi")}
    assert write_dataset(tmp_path, SMALL) == again == summary
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.avi")} == before


def test_a_folder_with_other_things_is_refused(small: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.avi").write_bytes(b"mine")
    for folder, spec in ((tmp_path, SMALL), (small, SynthSpec(seed=5))):
        before = contents(folder)
        with pytest.raises(InputError, match="something else"):
            write_dataset(folder, spec)
        assert contents(folder) == before


@pytest.mark.parametrize("linked", ["class", "list", "unfinished clip"])
def test_nothing_is_rendered_through_a_link(small: Path, tmp_path: Path, linked: str) -> None:
    out, outside, clip = tmp_path / "out", tmp_path / "outside", Path(next(plan(SMALL)).path)
    shutil.copytree(small, out)
    (out / clip).unlink()
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    if linked == "class":
        shutil.rmtree((out / clip).parent)
        (out / clip).parent.symlink_to(outside)
    elif linked == "list":
        (out / "ucfTrainTestlist/classInd.txt.tmp").symlink_to(outside / "file")
    else:
        (out / f"{clip}.tmp").symlink_to(outside / "file")
    with pytest.raises(InputError, match="is a link"):
        write_dataset(out, SMALL, workers=1)
    assert contents(outside) == {"file": b"mine"}


@pytest.mark.parametrize(
    "wrong", [{"groups": 2}, {"classes": 11}, {"seconds": 0}, {"seconds": float("nan")}, {"seed": -1}]
)
def test_nonsense_is_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        SynthSpec(**wrong)


def test_silence_codec_and_number_of_clips_are_alike_in_every_class(small: Path) -> None:
    of_class = {action.name: [c[1:] for c in plan(DEMO) if c.action == action] for action in CLASSES}
    first, *others = of_class.values()
    assert all(clips == first for clips in others)
    assert Counter(clip.track for clip in plan(DEMO)) == {"sound": 180, "silent": 10, "none": 10}
    size = sum(path.stat().st_size for path in small.rglob("*.avi"))
    assert write_dataset(small, SMALL) == SynthSummary(16, size, silent_tracks=2, without_track=0)


def test_classes_that_differ_in_sound_show_the_same_pictures() -> None:
    humming, whistling = find("BounceRedHumming", 2, 1), find("BounceRedWhistling", 2, 1)
    (frames, hum), (others, whistle) = shoot(DEMO, humming), shoot(DEMO, whistling)
    assert np.array_equal(frames, others)
    assert hum is not None
    assert whistle is not None
    assert np.abs(hum - whistle).max() > 0.05


def test_classes_that_differ_in_pictures_sound_the_same() -> None:
    sounds = [shoot(DEMO, find(action.name, 2, 1))[1] for action in CLASSES if action.sound == "whistle"]
    assert all(sound is not None and np.array_equal(sound, sounds[0]) for sound in sounds)


def test_red_and_blue_are_equally_bright() -> None:
    luminance = [
        frames_of(name).astype(float) @ (0.299, 0.587, 0.114) for name in ("ShakeRedHumming", "ShakeBlueHumming")
    ]
    assert np.abs(luminance[0] - luminance[1]).max() < 2
    assert np.abs(frames_of("ShakeRedHumming").astype(int) - frames_of("ShakeBlueHumming")).max() > 100


@pytest.mark.parametrize("names", [("PushPullRed", "PullPushRed"), ("LiftDropBlue", "DropLiftBlue")])
@pytest.mark.parametrize("seconds", [2.0, 3.2])
def test_the_other_order_is_the_same_frames_with_the_halves_exchanged(names: tuple[str, str], seconds: float) -> None:
    spec = SynthSpec(seconds=seconds)
    clip, other = (frames_of(f"{name}Whistling", spec=spec).astype(int) for name in names)
    half = len(clip) // 2
    exchanged = np.concatenate((other[half:], other[:half]))
    assert np.abs(clip - exchanged).mean() < 4  # the camera's noise is not exchanged
    assert np.abs(clip - exchanged).max() < 30
    assert np.abs(clip - other).max() > 80


def test_the_ball_stays_in_the_picture_and_moves_a_few_pixels_a_frame() -> None:
    for action in CLASSES:
        frames = frames_of(action.name, group=3).astype(float)
        red_minus_blue = frames[..., 0] - frames[..., 2]
        ball = red_minus_blue > 60 if action.appearance == "red" else red_minus_blue < -60
        assert not ball[:, [0, -1]].any()
        assert not ball[:, :, [0, -1]].any()
        centre = np.stack([np.argwhere(shown).mean(0) for shown in ball])
        step_px = np.hypot(*np.diff(centre, axis=0).T)
        assert 2 < step_px.mean() < 8


def test_clips_of_a_group_are_near_copies() -> None:
    """The clip most like a given one is its neighbour in the group: what a split that ignores groups would leak."""
    spec = SynthSpec(groups=8, seconds=0.4)
    clips = [clip for clip in plan(spec) if clip.action.name == "ShakeRedHumming"]
    shown = np.stack([shoot(spec, clip)[0].mean(0).ravel() for clip in clips])
    distance = np.linalg.norm(shown[:, None] - shown[None], axis=2) + np.diag(np.full(len(clips), np.inf))
    assert all(clips[nearest].group == clip.group for clip, nearest in zip(clips, distance.argmin(1), strict=True))


DEMO_SAMPLING = config.load([config.read_layer("demo")]).sampling


@pytest.mark.parametrize("motion", ["shake", "bounce", "right_left", "up_down"])
def test_frames_are_taken_in_the_bursts_where_the_motion_chooses_and_not_where_the_clock_does(motion: str) -> None:
    """By the sampler itself on rendered clips, with the demo's settings; bursts are where the ball moves."""
    name = next(action.name for action in CLASSES if action.motion == motion)
    for group, number in ((1, 1), (2, 2), (7, 1)):
        frames = frames_of(name, group, number)
        flow_px = DisFlow()(frames, 16)
        motion_px = np.hypot(flow_px[..., 0], flow_px[..., 1]).mean((1, 2))
        times_s = [Fraction(frame, 25) for frame in range(len(frames))]
        taken = {
            method: sample(replace(DEMO_SAMPLING, method=method), times_s, Fraction(2), motion_px.tolist())
            for method in ("adaptive", "constant")
        }
        moves = np.concatenate(([False], np.abs(np.diff(frames.astype(int), axis=0)).max((1, 2, 3)) > 40))
        assert 0.3 < moves.mean() < 0.7
        assert not np.array_equal(taken["adaptive"], taken["constant"])
        shares = {method: moves[index].mean() for method, index in taken.items()}
        assert shares["adaptive"] > max(0.75, shares["constant"] + 0.15), (group, number, shares)


def test_classes_that_differ_in_looks_or_sound_burst_at_the_same_moments() -> None:
    for one, other in (("ShakeRedHumming", "ShakeBlueHumming"), ("BounceRedHumming", "BounceRedWhistling")):
        steps = [np.abs(np.diff(frames_of(name, 4).astype(int), axis=0)).max((1, 2, 3)) > 40 for name in (one, other)]
        assert np.array_equal(*steps) and 0.3 < steps[0].mean() < 0.7
