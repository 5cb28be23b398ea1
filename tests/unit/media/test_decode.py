"""From bytes to frames, times and sound: every odd file is right or refused, never silently less."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.decode import Decoded, decode, decode_file
from actionrec.media.encode import encode
from actionrec.media.probe import open_container
from tests import media_files
from tests.media_files import CORNERS_RGB, RATE, VARIABLE_MS, moving, tone

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
SMALL = Clip(width=64, height=48)


def decoded(data: bytes, clip: Clip = SMALL, **limits: float) -> Decoded:
    return decode(data, clip, Limits(**limits))


def failure(data: bytes, clip: Clip = SMALL, **limits: float) -> VideoError:
    with pytest.raises(VideoError) as caught:
        decoded(data, clip, **limits)
    return caught.value


def quarters(frame_HWC: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """The mean colour in the middle of each quarter."""
    height, width = frame_HWC.shape[:2]
    top, bottom = slice(height // 8, 3 * height // 8), slice(5 * height // 8, 7 * height // 8)
    left, right = slice(width // 8, 3 * width // 8), slice(5 * width // 8, 7 * width // 8)
    places = {
        "top_left": (top, left),
        "top_right": (top, right),
        "bottom_left": (bottom, left),
        "bottom_right": (bottom, right),
    }
    return {name: frame_HWC[rows, columns].mean(axis=(0, 1)) for name, (rows, columns) in places.items()}


def nearest(frames_THWC: NDArray[np.uint8], source_THWC: NDArray[np.uint8]) -> NDArray[np.intp]:
    """For each frame the source frame it is most like. They move 3 pixels a frame: one frame off is another answer."""
    small, source = (array[:, ::4, ::4].astype(np.float32).mean(axis=-1) for array in (frames_THWC, source_THWC))
    return np.abs(small[:, None] - source[None]).mean(axis=(2, 3)).argmin(axis=1)


@pytest.mark.parametrize("make", [media_files.good_mp4, media_files.good_avi])
def test_a_good_file_gives_its_frames_times_and_sound(make) -> None:
    clip = Clip()
    video = decoded(make(), clip)
    assert video.frames_THWC.shape == (50, 240, 320, 3)
    assert video.frames_THWC.dtype == np.uint8
    assert np.array_equal(nearest(video.frames_THWC, moving(50)), np.arange(50))
    assert [tick * video.time_base for tick in video.pts_ticks.tolist()] == [Fraction(k, 25) for k in range(50)]
    assert (video.duration_s, video.frames_declared, video.audio_error) == (2, 50, None)
    assert video.audio is not None and video.audio.dtype == np.float32
    assert len(video.audio) == pytest.approx(32_000, abs=2000)  # codecs pad their last frame


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
def test_an_ntsc_rate_is_exact_even_where_times_are_milliseconds(container: str) -> None:
    data = encode(container, moving(50, 48, 64), media_files.NTSC, video_codec="mpeg4")
    assert decoded(data).duration_s == 50 / media_files.NTSC


def test_one_frame_lasts_one_interval() -> None:
    video = decoded(media_files.one_frame())
    assert len(video.frames_THWC) == 1
    assert video.duration_s == 1 / RATE


def test_a_variable_rate_keeps_its_true_times() -> None:
    video = decoded(media_files.variable_rate())
    assert [tick * video.time_base for tick in video.pts_ticks.tolist()] == [Fraction(ms, 1000) for ms in VARIABLE_MS]
    assert video.duration_s == Fraction(1900, 1000) * 10 / 9


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_display_matrix_is_applied_exactly_once(degrees: int) -> None:
    for name, colour in quarters(decoded(media_files.rotated(degrees)).frames_THWC[3]).items():
        assert np.abs(colour - CORNERS_RGB[name]).max() < 30, name


@pytest.mark.parametrize("make", [media_files.mirrored, media_files.turned_by_exif])
def test_a_mirror_and_an_exif_orientation_are_applied_too(make) -> None:
    for name, colour in quarters(decoded(make()).frames_THWC[3]).items():
        assert np.abs(colour - CORNERS_RGB[name]).max() < 30, name


@pytest.mark.parametrize(
    "make",
    [
        media_files.odd_size,
        media_files.ten_bit,
        media_files.gray,
        media_files.interlaced,
        media_files.av1,
        media_files.hevc,
    ],
)
def test_odd_pixels_and_codecs_show_the_same_pictures(make) -> None:
    size = (243, 321) if make is media_files.odd_size else (240, 320)
    frames = decoded(make(), Clip(height=size[0], width=size[1])).frames_THWC
    source = moving(25, *size)
    assert np.array_equal(nearest(frames, source), np.arange(25))
    if make is not media_files.gray:
        assert np.abs(frames.astype(int) - source).mean() < 6


def test_frames_are_stretched_to_the_size_asked_for() -> None:
    assert decoded(media_files.no_audio(), Clip(width=33, height=100)).frames_THWC.shape == (50, 100, 33, 3)


def test_only_the_first_seconds_are_decoded() -> None:
    video = decoded(media_files.good_mp4(), Clip(width=64, height=48, max_s=0.5))
    assert len(video.frames_THWC) == video.frames_declared == 13  # times 0 to 0.48
    assert video.audio is not None and len(video.audio) == 8000


def test_memory_does_not_grow_with_the_video() -> None:
    """Frames leave one by one, as they are decoded."""
    shapes = []
    decode_file(io.BytesIO(media_files.no_audio()), SMALL, Limits(), lambda frame: shapes.append(frame.shape))
    assert shapes == [(48, 64, 3)] * 50


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (media_files.zero_bytes, Reason.EMPTY),
        (media_files.text, Reason.NOT_VIDEO),
        (media_files.no_frames, Reason.NO_FRAMES),
        (media_files.truncated_avi, Reason.TRUNCATED),
        (media_files.truncated_mp4, Reason.TRUNCATED),
        (media_files.flipped_avi, Reason.CORRUPT),
        (media_files.flipped_mp4, Reason.CORRUPT),
        (media_files.huge_pictures, Reason.TOO_LARGE),
        (media_files.many_frames, Reason.TOO_LARGE),
    ],
)
def test_a_bad_file_has_its_reason(make, reason: Reason) -> None:
    assert failure(make()).reason is reason


def test_a_truncated_file_can_be_allowed_and_says_how_much_is_there() -> None:
    video = decoded(media_files.truncated_avi(), Clip(width=64, height=48, allow_partial=True))
    assert 1 <= len(video.frames_THWC) < 0.95 * 50
    assert video.frames_declared == 50


def test_a_file_cut_after_the_clips_end_is_whole() -> None:
    assert len(decoded(media_files.truncated_avi(), Clip(max_s=0.4)).frames_THWC) == 10
    assert failure(media_files.truncated_avi(), Clip(max_s=1)).reason is Reason.TRUNCATED


@pytest.mark.parametrize("container", ["matroska", "flv"])
def test_truncation_shows_where_the_container_gives_only_seconds(container: str) -> None:
    data = encode(container, moving(50), RATE, video_options={"g": "12"})
    assert len(decoded(data).frames_THWC) == 50
    assert failure(data[: len(data) // 2]).reason is Reason.TRUNCATED


def test_a_last_packet_that_is_not_whole_is_dropped_within_the_tolerance() -> None:
    data = encode("avi", moving(50), RATE, video_codec="mjpeg", pixel_format="yuvj420p")
    index = data.index(b"idx1", len(data) * 9 // 10)
    assert len(decoded(data[: index - 100]).frames_THWC) == 49


def test_empty_places_of_an_avi_are_no_lost_frames() -> None:
    """AVI has no times: a pause is stored as frames of zero bytes, which its header counts."""
    ticks = [0, 1, 2, 5, 6, 7, 12, 13]
    data = media_files.with_ticks(moving(8), [40 * tick for tick in ticks], "avi")
    video = decoded(data)
    times_ms = [round(1000 * tick * video.time_base) for tick in video.pts_ticks.tolist()]
    assert times_ms == [40 * tick for tick in ticks]


def test_spliced_transport_streams_continue_one_interval_later() -> None:
    part = encode("mpegts", moving(50), RATE, video_codec="mpeg2video")
    video = decoded(part + part)
    assert [tick * video.time_base for tick in video.pts_ticks.tolist()] == [Fraction(k, 25) for k in range(100)]


def test_a_recording_that_begins_between_key_frames_is_usable() -> None:
    whole = encode("mpegts", moving(50), RATE, video_options={"g": "12"})
    assert 12 <= len(decoded(whole[188 * 200 :]).frames_THWC) < 50


def test_limits_hold_against_what_is_decoded_not_only_what_is_promised() -> None:
    assert len(decoded(media_files.uncounted_frames()).frames_THWC) == 300
    error = failure(media_files.uncounted_frames(), frames=299)
    assert (error.reason, "limits.frames" in error.detail) == (Reason.TOO_LARGE, True)


@pytest.mark.parametrize("seed", range(5))
def test_no_damage_ends_in_anything_but_a_video_or_a_reason(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for whole in (media_files.good_mp4(), media_files.good_avi(), media_files.audio_short()):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, len(damaged), 40)
        damaged[places] = rng.integers(0, 256, 40)
        try:
            video = decoded(damaged[: rng.integers(1, len(damaged) + 1)].tobytes())
        except VideoError:
            continue
        assert len(video.frames_THWC) == len(video.pts_ticks) > 0
        assert (np.diff(video.pts_ticks) > 0).all()
        assert video.duration_s > video.pts_ticks[-1] * video.time_base


def click(container: str, audio_codec: str, rate_hz: int, video_codec: str = "libx264") -> bytes:
    """A click of 20 ms at 1 s."""
    sound, length = np.zeros(2 * rate_hz, np.float32), rate_hz // 50
    sound[rate_hz : rate_hz + length] = 0.8 * np.hanning(length) * np.sin(np.arange(length) * 2000 * np.pi / rate_hz)
    return encode(
        container,
        moving(50, 48, 64),
        RATE,
        video_codec=video_codec,
        audio=sound,
        audio_rate_hz=rate_hz,
        audio_codec=audio_codec,
    )


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz"),
    [("mp4", "aac", 44_100), ("mpegts", "aac", 48_000), ("matroska", "flac", 8000), ("matroska", "libopus", 48_000)],
)
def test_sound_stands_where_the_container_says(container: str, codec: str, rate_hz: int) -> None:
    audio = decoded(click(container, codec, rate_hz)).audio
    assert audio is not None
    energy = np.convolve(audio**2, np.ones(320), "valid")
    assert int(energy.argmax()) == pytest.approx(16_000, abs=16)  # 1 ms


def test_sound_that_begins_later_or_earlier_than_the_pictures_is_moved() -> None:
    """The pictures of this file begin at 0.4 s of the container's clock, its sound at 0."""
    sink = io.BytesIO()
    with av.open(io.BytesIO(click("mp4", "aac", 16_000))) as source, av.open(sink, "w", "matroska") as output:
        tracks = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                delay = round(Fraction(2, 5) / packet.time_base)
                packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
            packet.stream = tracks[packet.stream.index]
            output.mux(packet)
    audio = decoded(sink.getvalue()).audio
    assert audio is not None
    energy = np.convolve(audio**2, np.ones(320), "valid")
    assert int(energy.argmax()) == pytest.approx(0.6 * 16_000, abs=16)


@pytest.mark.parametrize(
    ("make", "samples"),
    [
        (media_files.audio_8_khz, 32_000),
        (media_files.audio_44_khz_avi, 32_000),
        (media_files.audio_surround, 32_000),
        (media_files.audio_short, 4800),
    ],
)
def test_any_sound_becomes_16_khz_mono(make, samples: int) -> None:
    audio = decoded(make()).audio
    assert audio is not None
    assert len(audio) == pytest.approx(samples, abs=2050)
    middle = slice(1600, min(samples, len(audio)) - 1600)
    expected = tone(2)[: len(audio)]
    assert np.abs(audio[middle] - expected[middle]).max() < 0.05
    assert np.abs(audio).max() <= 1


def test_silence_is_zeros_and_no_track_is_none() -> None:
    silent = decoded(media_files.silent()).audio
    assert silent is not None and len(silent) > 30_000 and not silent.any()
    assert decoded(media_files.no_audio()).audio is None


def test_sound_does_not_depend_on_the_size_of_the_pictures() -> None:
    """So their size is no setting of the stream audio."""
    data = click("mp4", "aac", 44_100)
    sounds = [
        decoded(data, Clip(width=width, height=height)).audio for width, height in ((16, 16), (320, 240), (640, 90))
    ]
    assert sounds[0] is not None and len(sounds[0]) and {sound.tobytes() for sound in sounds} == {sounds[0].tobytes()}


def test_a_broken_sound_track_costs_the_sound_and_says_so() -> None:
    video = decoded(media_files.broken_audio())
    assert len(video.frames_THWC) == 50
    assert video.audio is None
    assert video.audio_error is not None and "audio" in video.audio_error


def test_decoding_twice_gives_the_same_bytes() -> None:
    first, second = (decoded(media_files.good_mp4()) for _ in range(2))
    assert np.array_equal(first.frames_THWC, second.frames_THWC)
    assert first.audio is not None and np.array_equal(first.audio, second.audio)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real clips beside the checkout are absent")
class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "frames", "duration_s"),
        [
            ("v_ApplyEyeMakeup_g01_c01", 164, Fraction(164, 25)),  # B-frames in an AVI: no stored time is right
            ("v_Biking_g05_c02", 201, 201 / media_files.NTSC),
            ("v_Punch_g03_c01", 108, Fraction(108, 25)),
        ],
    )
    def test_ucf101(self, name: str, frames: int, duration_s: Fraction) -> None:
        video = decoded((DATA / "clips" / f"{name}.avi").read_bytes())
        assert (len(video.frames_THWC), video.frames_declared, video.duration_s) == (frames, frames, duration_s)
        assert np.array_equal(video.pts_ticks, np.arange(frames))

    def test_surveillance(self) -> None:
        for path in sorted((DATA / "fight").glob("*/*.mp4"))[::25]:
            video = decoded(path.read_bytes())
            assert len(video.frames_THWC) == video.frames_declared
            assert video.audio_error is None

    def test_hostile(self) -> None:
        files = {path.name: path.read_bytes() for path in (DATA / "hostile").iterdir()}
        assert failure(files["result.webm"]).reason is Reason.EMPTY
        assert len(decoded(files["-video-with-dash-.mp4"]).frames_THWC) == 5
        assert len(decoded(files["h264_10bits.mp4"]).frames_THWC) == 30
        assert len(decoded(files["no_duration.webm"]).frames_THWC) == 74
        assert len(decoded(files["video_with_failing_audio.mp4"]).frames_THWC) == 280
        upright, turned = (decoded(files[f"video_{degrees}.mov"]).frames_THWC for degrees in (0, 90))
        assert np.abs(upright.astype(int) - turned).mean() > 5  # the matrix says 90 and is obeyed


def test_a_track_that_turns_up_while_reading_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyAV does where it flushes a track that it did not know at the beginning."""

    class Opened:
        def __init__(self, file: io.BytesIO) -> None:
            self._container = open_container(file)

        def __enter__(self) -> "Opened":
            return self

        def __exit__(self, *error: object) -> None:
            self._container.close()

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def demux(self):
            yield from self._container.demux()
            raise IndexError("list index out of range")

    monkeypatch.setattr("actionrec.media.decode.open_container", Opened)
    assert len(decoded(media_files.good_mp4()).frames_THWC) == 50
