"""A video is judged by its own track: what is whole is never refused, and what was really cut never passes as whole."""

import io
import struct

import av
import pytest

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.decode import Decoded, decode
from actionrec.media.encode import encode
from tests import media_files
from tests.media_files import RATE, moving, tone
from tests.media_mixes import (
    copied,
    cut_in_an_open_group,
    edit_list,
    pictures,
    sound,
    untagged,
    with_subtitle,
)

CODECS = {"avi": ("mpeg4", "libmp3lame"), "asf": ("msmpeg4", "libmp3lame"), "webm": ("libvpx-vp9", "libopus")}


def decoded(data: bytes, max_s: float = 36, **limits: float) -> Decoded:
    return decode(data, Clip(width=64, height=48, max_s=max_s), Limits(**limits))


def failure(data: bytes, max_s: float = 36, **limits: float) -> VideoError:
    with pytest.raises(VideoError) as caught:
        decoded(data, max_s, **limits)
    return caught.value


def tracks(container: str, *seconds: int) -> bytes:
    """Video tracks of the first lengths and a sound track of the last."""
    video, audio = CODECS.get(container, ("libx264", "aac"))
    source = {"avi": "avi", "asf": "avi", "webm": "webm"}.get(container, "mp4")
    return copied(container, *(pictures(s, source, video) for s in seconds[:-1]), sound(seconds[-1], audio))


@pytest.mark.parametrize("container", ["matroska", "webm", "asf", "flv", "mp4", "avi", "mpegts"])
@pytest.mark.parametrize("others", [(12,), (12, 2)])
def test_a_longer_track_beside_it_does_not_make_a_video_truncated(container: str, others: tuple[int, ...]) -> None:
    """Longer sound, or a longer second video track beside shorter sound."""
    if len(others) == 2 and container == "flv":
        pytest.skip("FLV holds one video track")
    data = tracks(container, 2, *others)
    assert len(decoded(data).frames_THWC) == 50
    assert len(decoded(untagged(data)).frames_THWC) == 50


def test_subtitles_that_go_on_do_not_make_a_video_truncated() -> None:
    """One line of text that stands for half a minute, in a file whose writer says each track's length or not."""
    data = with_subtitle(pictures(2), 30)
    assert len(decoded(data).frames_THWC) == 50
    assert len(decoded(untagged(data)).frames_THWC) == 50
    for cut in (data, untagged(data)):  # the text was read before the cut, and explains nothing
        assert failure(cut[: len(data) // 2]).reason is Reason.TRUNCATED


@pytest.mark.parametrize("container", ["matroska", "webm", "asf", "flv", "avi"])
@pytest.mark.parametrize("lengths_s", [(4, 4), (2, 4), (4, 2)])
def test_a_file_that_was_really_cut_stays_truncated(container: str, lengths_s: tuple[int, int]) -> None:
    data = tracks(container, *lengths_s)
    part = len(data) * 2 // 5  # short of the end of either track
    for cut in (data[:part], untagged(data)[:part]):
        assert failure(cut).reason is Reason.TRUNCATED


def test_a_comment_in_ogg_promises_no_length() -> None:
    """Copying a part of a Matroska file by stream copy takes along its tag, which says the length of the whole."""
    sink = io.BytesIO()
    with (
        av.open(io.BytesIO(pictures(2, "webm", "libvpx"))) as source,
        av.open(sink, "w", format="ogg") as output,
    ):
        track = output.add_stream_from_template(source.streams.video[0])
        track.metadata["DURATION"] = "00:10:00.000000000"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                output.mux(packet)
    assert b"DURATION=00:10:00" in sink.getvalue()
    assert len(decoded(sink.getvalue()).frames_THWC) == 50


@pytest.mark.parametrize("part", [0.5, 0.2])
def test_a_cut_asf_with_a_long_header_is_truncated(part: float) -> None:
    """Anything may stand in it before the object that says the length, such as a picture or padding."""
    data = tracks("asf", 4, 4)
    size, objects = struct.unpack_from("<QI", data, 16)
    padding = bytes.fromhex("74d40618dfca0945a4ba9aabcb96aae8") + struct.pack("<Q", 5000) + bytes(4976)
    padded = data[:16] + struct.pack("<QI", size + 5000, objects + 1) + data[28:30] + padding + data[30:]
    assert len(decoded(padded).frames_THWC) == 100
    assert failure(padded[: 5000 + round(len(data) * part)]).reason is Reason.TRUNCATED


def test_a_cut_behind_the_videos_own_end_does_not_concern_it() -> None:
    data = tracks("matroska", 2, 12)
    assert len(decoded(data[: len(data) * 9 // 10]).frames_THWC) == 50


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *((container, codec) for container in ("mp4", "matroska", "mpegts") for codec in ("libx264", "libx265")),
        *((container, codec) for container in ("mp4", "avi") for codec in ("mpeg2video", "mpeg4")),
    ],
)
def test_a_cut_inside_an_open_group_loses_its_undecodable_frames_only(container: str, codec: str) -> None:
    data, packets, leading = cut_in_an_open_group(container, codec)
    assert leading >= 2
    video = decoded(data)
    assert len(video.frames_THWC) == packets - leading
    assert video.pts_ticks[0] == 0
    assert video.duration_s == (packets - leading) / RATE
    assert video.frames_declared in (0, packets - leading)


def test_after_a_cut_inside_an_open_group_the_rest_is_still_counted() -> None:
    """What is missing further on is not explained by an open group."""
    data, _, _ = cut_in_an_open_group("avi", "mpeg4")
    assert failure(data[: len(data) // 2]).reason is Reason.TRUNCATED
    assert failure(media_files.flipped(data, 0.4, 0.6)).reason in (Reason.CORRUPT, Reason.TRUNCATED)


def test_limits_count_what_an_edit_list_shows() -> None:
    video = decoded(edit_list(seconds_stored=190, seconds_shown=10))
    assert len(video.frames_THWC) == video.frames_declared == 250
    error = failure(edit_list(seconds_stored=190, seconds_shown=10), frames=249)
    assert (error.reason, "the header promises 250" in error.detail) == (Reason.TOO_LARGE, True)


@pytest.mark.parametrize("container", ["matroska", "avi"])
def test_sound_without_a_decoder_costs_the_sound_and_names_its_codec(container: str) -> None:
    video_codec, name = ("mpeg4", "'ww") if container == "avi" else ("libx264", "'A_WXYZ'")
    data = encode(
        container,
        moving(25, 48, 64),
        RATE,
        video_codec=video_codec,
        audio=tone(1),
        audio_codec="pcm_s16le" if container == "avi" else "flac",
    )
    if container == "avi":
        at = data.index(b"strf", data.index(b"auds")) + 8
        data = data[:at] + b"ww" + data[at + 2 :]
    video = decoded(data.replace(b"A_FLAC", b"A_WXYZ"))
    assert len(video.frames_THWC) == 25
    assert video.audio is None
    assert video.audio_reason is Reason.NO_DECODER
    assert video.audio_error is not None and name in video.audio_error


def test_broken_sound_has_another_reason() -> None:
    assert decoded(media_files.broken_audio()).audio_reason is Reason.CORRUPT
    assert decoded(media_files.no_audio()).audio_reason is None


@pytest.mark.parametrize(
    ("container", "codec", "mark", "other"),
    [
        ("matroska", "libx264", b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC"),
        ("mp4", "libx264", b"avc1", b"qqqq"),
        ("avi", "mpeg4", b"FMP4", b"QQQQ"),
    ],
)
def test_a_video_without_a_decoder_says_so(container: str, codec: str, mark: bytes, other: bytes) -> None:
    error = failure(pictures(1, container, codec).replace(mark, other))
    assert error.reason is Reason.NO_DECODER
    assert other.decode() in error.detail
