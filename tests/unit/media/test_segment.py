"""A segment's frames are those of the whole video, to the bit, whether or not the file could be sought in."""

import functools
import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media import decode as decode_module
from actionrec.media.decode import Decoded, Segment, decode
from actionrec.media.encode import encode
from actionrec.media.isolate import Decoder
from tests import media_files
from tests.media_files import RATE, moving, tone, with_ticks
from tests.media_mixes import OPEN_GROUPS, click_times_s, clicks, copied, cut_in_an_open_group, edit_list, recording

CLIP = Clip(width=64, height=48)
CODECS = {"webm": "libvpx-vp9", "avi": "mpeg4", "mpeg": "mpeg2video"}


def decoded(data: bytes, segment: Segment | None = None, clip: Clip = CLIP, **limits: float) -> Decoded:
    return decode(data, clip, Limits(**limits), segment)


def failure(data: bytes, segment: Segment, **limits: float) -> VideoError:
    with pytest.raises(VideoError) as caught:
        decoded(data, segment, **limits)
    return caught.value


@functools.cache
def whole(container: str, codec: str | None = None) -> bytes:
    codec = codec or CODECS.get(container, "libx264")
    options = OPEN_GROUPS[codec] if container != "avi" and codec in OPEN_GROUPS else {"g": "24"}
    return encode(container, moving(200, 48, 64), RATE, video_codec=codec, video_options=options)


@functools.cache
def variable() -> bytes:
    rng = np.random.default_rng(0)
    return with_ticks(moving(200, 48, 64), np.cumsum(rng.integers(20, 60, 200)).tolist(), key_every=24)


@functools.cache
def turned() -> bytes:
    return with_ticks(moving(200, 48, 64), range(0, 8000, 40), key_every=24, degrees=90)


@functools.cache
def begins_late() -> bytes:
    """The container's clock is at 5 s when the first frame is shown."""

    def move(packet: Any) -> bool:
        packet.pts, packet.dts = (at + round(5 / packet.time_base) for at in (packet.pts, packet.dts))
        return True

    return copied("matroska", whole("mp4"), edit=move)


def open_cut(container: str, codec: str) -> bytes:
    return cut_in_an_open_group(container, codec)[0]


def joined() -> bytes:
    return recording(3) + recording(5)


SOUGHT: dict[str, Callable[[], bytes]] = {
    **{name: functools.partial(whole, name) for name in ("mp4", "matroska", "webm")},
    **{f"mp4 {codec}": functools.partial(whole, "mp4", codec) for codec in ("libx265", "mpeg4")},
    **{f"matroska {codec}": functools.partial(whole, "matroska", codec) for codec in ("libx265", "mpeg2video")},
    "variable": variable,
    "turned": turned,
    "begins late": begins_late,
    "edit list": functools.partial(edit_list, 20, 9),
}
FROM_THE_START: dict[str, Callable[[], bytes]] = {
    **{name: functools.partial(whole, name) for name in ("avi", "mpegts", "mpeg", "flv")},
    "joined": joined,
}


@pytest.fixture
def sought(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each decoding that came to an end had sought."""
    found: list[bool] = []
    real = decode_module._decode_file

    def watched(*args: Any, seek: bool) -> Any:
        track = real(*args, seek=seek)
        found.append(seek)
        return track

    monkeypatch.setattr(decode_module, "_decode_file", watched)
    return found


def assert_is_part(part: Decoded, of: Decoded, start_s: float, end_s: float | None) -> None:
    times_s = [tick * of.time_base for tick in of.pts_ticks.tolist()]
    last_s = 10**6 if end_s is None else Fraction(str(end_s))
    kept = [k for k, at_s in enumerate(times_s) if Fraction(str(start_s)) <= at_s < last_s]
    assert np.array_equal(part.frames_THWC, of.frames_THWC[kept])
    first_s = times_s[kept[0]]
    assert [tick * part.time_base for tick in part.pts_ticks.tolist()] == [times_s[k] - first_s for k in kept]
    assert part.frames_declared == 0


@pytest.mark.parametrize("name", [*SOUGHT, *FROM_THE_START])
def test_a_segments_frames_are_those_of_the_whole_to_the_bit(name: str, sought: list[bool]) -> None:
    data = (SOUGHT | FROM_THE_START)[name]()
    full = decoded(data)
    ends_s = float(full.duration_s)
    for start_s, end_s in [(0.0, 1.0), (3.5, 5.25), (3.84, 3.88), (4.8, None), (5.76, ends_s), (ends_s - 0.3, None)]:
        sought.clear()
        assert_is_part(decoded(data, Segment(start_s, end_s)), full, start_s, end_s)
        assert sought == [name in SOUGHT and start_s >= 3.5]


@pytest.mark.parametrize("offset", range(8))
def test_around_a_key_frame_of_an_open_group_every_frame_is_right(offset: int) -> None:
    """Frames that are shown before a key frame and stored behind it need the group before."""
    data, first = whole("mp4"), 116 + offset  # of the key frame that shows as number 120
    assert_is_part(decoded(data, Segment(first / 25, (first + 6) / 25)), decoded(data), first / 25, (first + 6) / 25)


def test_after_an_undecodable_beginning_times_count_from_the_first_frame_shown() -> None:
    for container in ("mp4", "matroska", "avi"):
        data = open_cut(container, "mpeg4")
        assert_is_part(decoded(data, Segment(2.5, 3.2)), decoded(data), 2.5, 3.2)


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mpegts"])
def test_the_sound_is_of_the_same_span(container: str) -> None:
    codec = CODECS.get(container, "libx264")
    data = encode(
        container,
        moving(250, 48, 64),
        RATE,
        video_codec=codec,
        audio=clicks(10),
        audio_codec="libmp3lame" if container == "avi" else "aac",
        video_options={"g": "12"},
    )
    full, part = decoded(data), decoded(data, Segment(4.2, 7.0))
    assert part.audio is not None and full.audio is not None
    assert len(part.audio) == pytest.approx(2.8 * 16_000, abs=1)
    assert click_times_s(part.audio) == pytest.approx([at - 4.2 for at in click_times_s(full.audio)[4:7]], abs=1e-3)
    assert np.abs(part.audio - full.audio[67_200 : 67_200 + len(part.audio)]).max() < 0.02


def test_a_segment_that_ends_before_the_sound_begins_has_none() -> None:
    def move(packet: Any) -> bool:
        if packet.stream.type == "audio":
            packet.pts, packet.dts = (at + round(2 / packet.time_base) for at in (packet.pts, packet.dts))
        return True

    data = copied("matroska", encode("mp4", moving(100, 48, 64), RATE, audio=clicks(4)), edit=move)
    full = decoded(data)
    assert full.audio is not None and not full.audio[:16_000].any()
    assert decoded(data, Segment(0, 1)).audio is None
    part = decoded(data, Segment(1, 3))
    assert part.audio is not None and click_times_s(part.audio) == pytest.approx([1.5], abs=0.004)


def test_the_first_seconds_of_a_segment_are_taken() -> None:
    part = decoded(whole("mp4"), Segment(4, None), Clip(width=64, height=48, max_s=1.5))
    assert len(part.frames_THWC) == 38  # times 0 to 1.48
    assert part.duration_s == 38 / RATE


def test_limits_count_the_segment_only() -> None:
    """5000 frames in 20 s are too many, and 250 in one of them are not."""
    assert len(decoded(media_files.many_frames(), Segment(15, 16)).frames_THWC) == 250
    error = failure(media_files.many_frames(), Segment(15, 16), frames=249)
    assert (error.reason, "header promises" in error.detail) == (Reason.TOO_LARGE, True)


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mpegts"])
def test_a_segment_that_the_video_does_not_fill_says_where_it_ends(container: str) -> None:
    data = whole(container)
    error = failure(data, Segment(6, 12))
    assert error.reason is Reason.TRUNCATED
    assert "8.00 s" in error.detail and "12.00 s" in error.detail
    error = failure(data, Segment(9, 12))
    assert error.reason is Reason.NO_FRAMES
    assert "8.00 s" in error.detail and "9.00 s" in error.detail
    assert len(decoded(data, Segment(6, 8.1)).frames_THWC) == 50  # within the rounding of headers
    assert len(decoded(data, Segment(6, 12), Clip(width=64, height=48, allow_partial=True)).frames_THWC) == 50


@pytest.mark.parametrize("start_s", [1e18, 1e300])
def test_a_segment_farther_than_ffmpeg_can_count_is_beyond_the_end(start_s: float) -> None:
    error = failure(whole("mp4"), Segment(start_s, None))
    assert (error.reason, "the video ends at 8.00 s" in error.detail) == (Reason.NO_FRAMES, True)


def test_a_segment_beyond_the_end_of_large_pictures_is_not_too_large() -> None:
    large = media_files.repeated(2048, 100, 25)
    assert failure(large, Segment(5, 6), raw_gib=0.5).reason is Reason.NO_FRAMES
    assert failure(large, Segment(0, None), raw_gib=0.5).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
@pytest.mark.parametrize(("start_s", "end_s"), [(3.001, 3.039), (7.97, None)])
def test_a_segment_in_which_no_frame_begins_says_so(container: str, start_s: float, end_s: float | None) -> None:
    error = failure(whole(container), Segment(start_s, end_s))
    assert error.reason is Reason.NO_FRAMES
    assert error.detail.startswith(f"no frame begins between {start_s} and")


@pytest.mark.parametrize("container", ["matroska", "avi"])
def test_a_file_cut_behind_the_segment_is_whole_and_before_its_end_is_not(container: str) -> None:
    data = whole(container)
    cut = data[: len(data) * 6 // 10]
    assert len(decoded(cut, Segment(2.5, 3.5)).frames_THWC) == 25
    for segment in (Segment(2.5, 7.5), Segment(2.5, None), Segment(7, 7.5), Segment(7, None)):
        assert failure(cut, segment).reason is Reason.TRUNCATED


@pytest.mark.parametrize("container", ["flv", "asf"])
def test_a_segment_that_begins_late_in_a_cut_file_with_sound_is_not_whole(container: str) -> None:
    if container == "flv":
        data = encode("flv", moving(500, 48, 64), RATE, audio=tone(20))
    else:
        options = {"video_codec": "mpeg4", "audio_codec": "libmp3lame"}
        data = copied("asf", encode("avi", moving(500, 48, 64), RATE, audio=tone(20), **options))
    short = Clip(width=64, height=48, max_s=5)
    assert len(decoded(data, Segment(10, None), short).frames_THWC) == 125
    with pytest.raises(VideoError, match="truncated"):
        decoded(data[: len(data) * 7 // 10], Segment(10, None), short)


def test_the_child_decodes_segments_too() -> None:
    data = encode("mp4", moving(100, 48, 64), RATE, audio=tone(4), video_options={"g": "12"})
    segment = Segment(2.52, 3.6)
    ours = decoded(data, segment)
    with Decoder(CLIP, Limits()) as decoder:
        theirs = decoder.decode(data, segment)
        assert len(decoder.decode(data).frames_THWC) == 100
        with pytest.raises(VideoError, match=r"9\.00 s"):
            decoder.decode(data, Segment(9, None))
    for name, value in vars(ours).items():
        assert np.array_equal(value, getattr(theirs, name)), name


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(-1, 2), (2, 2), (3, 2), (float("nan"), None), (float("inf"), None), (0, float("inf"))]
)
def test_a_segment_without_length_is_none(start_s: float, end_s: float | None) -> None:
    with pytest.raises(ValueError, match="must begin at 0 or later"):
        Segment(start_s, end_s)


def test_memory_does_not_grow_with_what_lies_before_a_segment() -> None:
    shapes: list[tuple[int, ...]] = []
    segment = Segment(7, 7.4)
    file = io.BytesIO(whole("mpegts"))
    decode_module.decode_file(file, CLIP, Limits(frames=10), lambda frame: shapes.append(frame.shape), segment)
    assert shapes == [(48, 64, 3)] * 10
