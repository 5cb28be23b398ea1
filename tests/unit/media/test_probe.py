"""What a header is believed, and what is refused before a demuxer or a decoder runs."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media import probe as probe_module
from actionrec.media.probe import Probe, check_limits, frames_in_clip, probe
from tests import media_files

DASH = b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n"


def reason_of(data: bytes) -> Reason:
    with pytest.raises(VideoError) as caught:
        probe(data)
    return caught.value.reason


def header(**changed: Any) -> Probe:
    usual = Probe("avi", "mpeg4", 320, 240, Fraction(25), Fraction(1, 25), 250, 10.0, has_audio=False, size_bytes=1000)
    return replace(usual, **changed)


def test_reads_the_header_of_a_good_file() -> None:
    found = probe(media_files.good_mp4())
    assert (found.codec, found.width, found.height, found.rate) == ("h264", 320, 240, 25)
    assert (found.frames_declared, found.has_audio) == (50, True)
    assert found.duration_s == pytest.approx(2)
    assert not probe(media_files.no_audio()).has_audio


def test_size_is_as_coded_before_any_rotation() -> None:
    found = probe(media_files.rotated(90))
    assert (found.width, found.height) == (240, 320)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (media_files.text(), Reason.NOT_VIDEO),
        (bytes(range(256)) * 64, Reason.NOT_VIDEO),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), Reason.NOT_VIDEO),
        (media_files.ffconcat("neighbour.avi"), Reason.FORMAT_REFUSED),
        (b"\xef\xbb\xbf\n" + media_files.ffconcat("neighbour.avi"), Reason.FORMAT_REFUSED),
        (media_files.m3u8("neighbour.ts"), Reason.FORMAT_REFUSED),
        (DASH, Reason.FORMAT_REFUSED),
        (SDP, Reason.FORMAT_REFUSED),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 500, Reason.CORRUPT),
    ],
)
def test_what_is_no_video_has_its_reason(data: bytes, reason: Reason) -> None:
    assert reason_of(data) is reason


def test_a_file_with_sound_only_has_no_frames() -> None:
    assert reason_of(media_files.no_frames()) is Reason.NO_FRAMES


def test_an_mp4_without_its_index_is_truncated() -> None:
    assert reason_of(media_files.truncated_mp4()) is Reason.TRUNCATED


@pytest.mark.parametrize("playlist", [media_files.ffconcat, media_files.m3u8])
def test_no_demuxer_opens_another_file_even_where_its_format_is_let_through(
    playlist, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second lock behind the list of formats: without it the canary would be opened and decoded."""
    canary = tmp_path / "canary.avi"
    canary.write_bytes(media_files.good_avi())
    monkeypatch.setattr(probe_module, "PLAYLISTS", (b"no such mark",))
    locks = probe_module.LOCKS | {"format_whitelist": probe_module.FORMATS + ",concat,hls"}
    monkeypatch.setattr(probe_module, "LOCKS", locks)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError):
        probe(playlist(canary.name))
    if playlist is media_files.ffconcat:  # and the canary does sing where the lock is left off
        monkeypatch.setattr(probe_module, "LOCKS", {"format_whitelist": "avi,concat"})
        assert probe(playlist(canary.name)).width == 320


@pytest.mark.parametrize(
    ("changed", "limit"),
    [
        ({"width": 8192, "height": 8192}, "frame_megapixels"),
        ({"frames_declared": 5000}, "frames"),
        ({"size_bytes": 5 * 2**30}, "file_gib"),
        ({"width": 7680, "height": 4320, "frames_declared": 1000}, "raw_gib"),
        ({"width": 7680, "height": 4320, "frames_declared": 0, "duration_s": None, "rate": Fraction(60)}, "raw_gib"),
    ],
)
def test_limits_are_checked_from_the_header(changed: dict[str, Any], limit: str) -> None:
    check_limits(header(), Clip(), Limits())
    with pytest.raises(VideoError, match=f"limits.{limit}") as caught:
        check_limits(header(**changed), Clip(), Limits())
    assert caught.value.reason is Reason.TOO_LARGE


def test_only_the_first_seconds_count_against_the_limits() -> None:
    hour = header(frames_declared=90_000, duration_s=3600.0)
    assert frames_in_clip(hour, Clip(max_s=36)) == 900
    check_limits(hour, Clip(max_s=36), Limits(frames=900))
    with pytest.raises(VideoError):
        check_limits(hour, Clip(max_s=36), Limits(frames=899))


def test_an_absurd_rate_alone_refuses_nothing() -> None:
    check_limits(header(frames_declared=0, duration_s=None, rate=Fraction(90_000)), Clip(), Limits())


def test_bombs_are_refused_by_their_header() -> None:
    for bomb in (media_files.huge_pictures(), media_files.many_frames()):
        with pytest.raises(VideoError) as caught:
            check_limits(probe(bomb), Clip(), Limits())
        assert caught.value.reason is Reason.TOO_LARGE
