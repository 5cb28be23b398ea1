"""An MP4 is held to what its edit list shows, and its segments are those of what it shows."""

import functools

import numpy as np
import pytest

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.decode import Decoded, Segment, decode
from actionrec.media.encode import encode
from actionrec.media.probe import probe
from tests.media_files import RATE, moving
from tests.media_mixes import edited


@functools.cache
def stored() -> bytes:
    """20 s, H.264 with B-frames."""
    return encode("mp4", moving(500, 48, 64), RATE, video_options={"g": "24", "bf": "3"})


def decoded(data: bytes, segment: Segment | None = None) -> Decoded:
    return decode(data, Clip(width=64, height=48), Limits(), segment)


def failure(data: bytes, segment: Segment | None = None) -> VideoError:
    with pytest.raises(VideoError) as caught:
        decoded(data, segment)
    return caught.value


@pytest.mark.parametrize("edits", [((2000, None), (8000, 0)), ((300, None), (8000, 3.3)), ((2000, None), (20_000, 0))])
def test_an_open_segment_of_pictures_that_begin_late_is_whole(edits: tuple[tuple[int, float | None], ...]) -> None:
    data = edited(stored(), *edits)
    full = decoded(data)
    assert probe(data).duration_s == pytest.approx(float(full.duration_s), abs=0.05)
    for first in (25, 63, len(full.frames_THWC) - 5):
        part = decoded(data, Segment(first / 25, None))
        assert np.array_equal(part.frames_THWC, full.frames_THWC[first:])


@pytest.mark.parametrize(
    "edits",
    [((3000, 0), (4000, 10)), ((3000, 0), (2000, None), (3000, 10)), ((4000, 10), (3000, 0)), ((3000, 0), (3000, 3))],
)
def test_segments_of_a_file_of_several_edits_are_those_of_the_whole(
    edits: tuple[tuple[int, float | None], ...],
) -> None:
    data = edited(stored(), *edits)
    full = decoded(data)
    times_s = [float(tick * full.time_base) for tick in full.pts_ticks.tolist()]
    for start_s, end_s in ((2.05, 3.3), (4.01, 4.5), (5.19, 5.7)):
        kept = [k for k, at_s in enumerate(times_s) if start_s <= at_s < end_s]
        part = decoded(data, Segment(start_s, end_s))
        assert np.array_equal(part.frames_THWC, full.frames_THWC[kept])
        assert [float(tick * part.time_base) for tick in part.pts_ticks.tolist()] == pytest.approx(
            [times_s[k] - times_s[kept[0]] for k in kept]
        )


def test_an_edit_list_that_shows_nothing_is_named() -> None:
    error = failure(edited(stored(), (0, 0)))
    assert (error.reason, error.detail) == (Reason.NO_FRAMES, "the file's edit list shows none of its 500 frames")
