"""Recordings laid end to end: one clock for all pictures, and the sound in step with them."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from actionrec.config import Clip, Limits
from actionrec.media.audio import GAP_S
from actionrec.media.decode import Decoded, decode
from actionrec.media.encode import encode
from tests.media_files import RATE, moving
from tests.media_mixes import click_times_s, clicks, copied, later, recording

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "media"
WRAP_S = Fraction(2**33, 90_000)


def decoded(*parts: bytes) -> Decoded:
    return decode(b"".join(parts), Clip(width=64, height=48), Limits())


def times_s(video: Decoded) -> list[Fraction]:
    return [tick * video.time_base for tick in video.pts_ticks.tolist()]


def assert_plays_through(video: Decoded, seconds: float, silent: tuple[float, float] = (0, 0)) -> None:
    """One frame every 1/25 s, and a click in the middle of every second, but for those that are silent."""
    frames = round(25 * seconds)
    assert times_s(video) == [Fraction(k, 25) for k in range(frames)]
    assert video.duration_s == Fraction(frames, 25)
    assert video.audio is not None
    expected_s = [at for at in np.arange(0.5, seconds) if not silent[0] <= at < silent[1]]
    assert click_times_s(video.audio) == pytest.approx(expected_s, abs=0.004)


@pytest.mark.parametrize("container", ["mpegts", "mpeg"])
@pytest.mark.parametrize("lengths_s", [(1, 1, 1, 1), (4, 4), (2, 3, 1)])
def test_times_that_start_again_go_on(container: str, lengths_s: tuple[int, ...]) -> None:
    video = decoded(*(recording(length, container) for length in lengths_s))
    assert_plays_through(video, sum(lengths_s))


def test_the_shortest_recordings_go_on_too() -> None:
    assert times_s(decoded(recording(0.2), recording(0.2))) == [Fraction(k, 25) for k in range(10)]


@pytest.mark.parametrize("begins_s", [0.5, 3, 3.8])
def test_a_clock_that_is_put_back_a_little_goes_on(begins_s: float) -> None:
    """The second recording's clock begins before the first one's has ended."""
    assert_plays_through(decoded(later(recording(4), 0), later(recording(4), begins_s)), 8)


@pytest.mark.parametrize("begins_s", [15, 7200, 80_000])
def test_a_leap_far_forward_is_a_splice(begins_s: float) -> None:
    assert_plays_through(decoded(later(recording(4), 0), later(recording(4), begins_s)), 8)
    assert_plays_through(decoded(later(recording(4), begins_s), recording(4)), 8)


def test_a_pause_is_no_splice() -> None:
    first, second = later(recording(4), 0), later(recording(4), 9)
    video = decoded(first, second)
    assert times_s(video) == [Fraction(k, 25) for k in range(100)] + [9 + Fraction(k, 25) for k in range(100)]
    assert video.audio is not None
    clicks_s = [0.5, 1.5, 2.5, 3.5, 9.5, 10.5, 11.5, 12.5]
    assert click_times_s(video.audio) == pytest.approx(clicks_s, abs=0.004)


@pytest.mark.parametrize("audio_rate_hz", [16_000, 48_000])
def test_sound_does_not_fall_behind_where_pieces_clocks_go_on(audio_rate_hz: int) -> None:
    """An encoder puts silence before its sound, so that of each piece begins before the last one's has ended."""
    piece = encode(
        "mpegts",
        moving(50, 48, 64),
        RATE,
        audio=np.repeat(clicks(2), audio_rate_hz // 16_000),
        audio_rate_hz=audio_rate_hz,
    )
    video = decoded(b"".join(later(piece, 10 + 2 * number) for number in range(8)))
    assert times_s(video) == [Fraction(k, 25) for k in range(400)]
    assert video.audio is not None
    assert click_times_s(video.audio) == pytest.approx(np.arange(0.5, 16), abs=float(GAP_S) + 0.01)


def test_pictures_that_pause_while_the_sound_goes_on_are_no_splice() -> None:
    """Twelve seconds without a picture, as from a camera that lost its light; the sound says that time passed."""

    def is_kept(packet: Any) -> bool:
        return packet.stream.type == "audio" or not 50 <= round(25 * packet.pts * packet.time_base) - offset < 350

    with av.open(io.BytesIO(recording(16))) as source:
        offset = round(25 * source.streams.video[0].start_time * source.streams.video[0].time_base)
    video = decoded(copied("mpegts", recording(16), edit=is_kept))
    assert 90 <= len(video.frames_THWC) <= 100
    assert float(np.diff(times_s(video)).max()) == pytest.approx(12, abs=0.5)
    assert video.audio is not None
    assert click_times_s(video.audio) == pytest.approx(np.arange(0.5, 16), abs=0.004)


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_a_recording_without_sound_among_others_keeps_them_in_step(silent: int) -> None:
    parts = [recording(4, with_sound=number != silent) for number in range(3)]
    video = decoded(*parts)
    assert_plays_through(video, 12, silent=(4 * silent, 4 * silent + 4))


def test_the_33_bit_clock_wraps_unseen() -> None:
    wrapping = later(recording(4), WRAP_S - 2)
    assert_plays_through(decoded(wrapping), 4)
    assert_plays_through(decoded(recording(4), wrapping, recording(4)), 12)


def test_sound_goes_on_where_the_pictures_alone_step_back() -> None:
    """From frame 48 on, a key frame, the pictures' clock is put back by 0.4 s, and the sound's is not."""
    with av.open(io.BytesIO(recording(4))) as source:
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        cut_s = packets[48].dts * packets[48].time_base

    def second_part(packet: Any) -> bool:
        is_kept = packet.dts * packet.time_base >= cut_s
        if packet.stream.type == "video":
            ticks = round(Fraction(2, 5) / packet.time_base)
            packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        return bool(is_kept)

    def first_part(packet: Any) -> bool:
        return bool(packet.dts * packet.time_base < cut_s)

    parts = [copied("mpegts", recording(4), edit=part, mpegts_copyts="1") for part in (first_part, second_part)]
    video = decoded(*parts)
    assert times_s(video) == [Fraction(k, 25) for k in range(100)]
    assert video.audio is not None
    assert click_times_s(video.audio) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.004)


@pytest.mark.skipif(not DATA.is_dir(), reason="the sample files beside the checkout are absent")
def test_a_real_joined_file() -> None:
    video = decoded((DATA / "join_1.ts").read_bytes())
    assert times_s(video) == [Fraction(k, 25) for k in range(100)]
