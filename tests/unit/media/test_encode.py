"""The encoder writes what it was given, and the same bytes every time."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from actionrec.media.encode import encode

FORMATS = [
    ("mp4", "libx264", "aac"),
    ("mp4", "mpeg4", "aac"),
    ("avi", "libx264", "libmp3lame"),
    ("avi", "mpeg4", "libmp3lame"),
    ("avi", "libx264", "aac"),
    ("matroska", "libx264", "aac"),
]
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.float32)


def moving_square(frames: int = 50, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """[T, H, W, 3]: a red square that crosses a grey ramp, 1 px a frame."""
    clip = np.empty((frames, height, width, 3), np.uint8)
    clip[:] = np.linspace(40, 200, width, dtype=np.uint8)[None, None, :, None]
    for t in range(frames):
        clip[t, 30:60, t : t + 30] = (200, 30, 20)
    return clip


def decoded(data: bytes) -> tuple[int, NDArray[np.uint8], NDArray[np.float32]]:
    """The number of frames declared, the frames [T, H, W, 3], the first audio track [S] (empty if none)."""
    with av.open(io.BytesIO(data)) as file:
        declared = file.streams.video[0].frames
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    with av.open(io.BytesIO(data)) as file:
        blocks = [b.to_ndarray().mean(0) for b in file.decode(audio=0)] if file.streams.audio else []
    return declared, frames, np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


@pytest.mark.parametrize(("container", "video_codec", "audio_codec"), FORMATS)
def test_equal_input_gives_equal_bytes(container: str, video_codec: str, audio_codec: str) -> None:
    first, again = (
        encode(container, moving_square(), Fraction(25), video_codec=video_codec, audio=TONE, audio_codec=audio_codec)
        for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize(("container", "video_codec", "audio_codec"), FORMATS)
def test_what_goes_in_comes_out(container: str, video_codec: str, audio_codec: str) -> None:
    clip = moving_square()
    declared, frames, sound = decoded(
        encode(container, clip, Fraction(25), video_codec=video_codec, audio=TONE, audio_codec=audio_codec)
    )
    assert declared in (0, len(clip))  # Matroska declares a duration only
    assert frames.shape == clip.shape
    assert np.abs(frames.astype(float) - clip).mean() < 6
    assert len(TONE) <= len(sound) <= len(TONE) + 3000  # a coded block more at either end
    assert np.argmax(np.abs(np.fft.rfft(sound[4000:20_000]))) == 440
    assert 0.25 < sound[4000:20_000].std() / 0.7071 < 0.35


@pytest.mark.parametrize("container", ["mp4", "avi", "matroska"])
def test_no_audio_means_no_track(container: str) -> None:
    with av.open(io.BytesIO(encode(container, moving_square(10), Fraction(25)))) as file:
        assert not file.streams.audio
        assert len(list(file.decode(video=0))) == 10


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001), Fraction(10)])
def test_frames_are_shown_at_the_rate(rate: Fraction) -> None:
    with av.open(io.BytesIO(encode("mp4", moving_square(20), rate))) as file:
        times_s = [frame.time for frame in file.decode(video=0)]
    assert times_s == pytest.approx([float(k / rate) for k in range(20)], abs=1e-4)


def test_sound_is_interleaved_with_pictures() -> None:
    """A reader of the first half of the file finds sound in it."""
    frames = np.repeat(moving_square(50, 64, 96), 10, axis=0)
    with av.open(io.BytesIO(encode("mp4", frames, Fraction(25), audio=np.tile(TONE, 10)))) as file:
        packets = [(packet.pos, packet.stream.type) for packet in file.demux() if packet.pos is not None]
    kinds = [kind for _, kind in sorted(packets)]  # as they lie in the file
    assert 0.3 < np.mean([kind == "audio" for kind in kinds[: len(kinds) // 2]]) < 0.7


def test_ten_bits_and_odd_sizes_need_only_a_pixel_format() -> None:
    odd = encode("mp4", moving_square(5, 97, 129), Fraction(25), pixel_format="yuv444p")
    deep = encode("mp4", moving_square(5), Fraction(25), pixel_format="yuv420p10le")
    with av.open(io.BytesIO(odd)) as file, av.open(io.BytesIO(deep)) as other:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (129, 97)
        assert other.streams.video[0].pix_fmt == "yuv420p10le"


@pytest.mark.parametrize(
    ("frames", "audio"),
    [
        (np.zeros((5, 96, 128), np.uint8), None),
        (np.zeros((5, 96, 128, 3), np.float32), None),
        (np.zeros((0, 96, 128, 3), np.uint8), None),
        (np.zeros((5, 96, 128, 3), np.uint8), np.zeros((100, 2), np.float32)),
        (np.zeros((5, 96, 128, 3), np.uint8), np.zeros(100, np.int16)),
    ],
)
def test_other_arrays_are_refused(frames: NDArray[np.uint8], audio: NDArray[np.float32] | None) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode("mp4", frames, Fraction(25), audio=audio)
