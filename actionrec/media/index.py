"""What an MP4 shows: FFmpeg's index of its frames, in the order of decoding and as the edit list has them."""

from __future__ import annotations  # av's streams are generic in its stubs only

import itertools

from av.index import IndexEntry
from av.video.stream import VideoStream


def frames_shown(stream: VideoStream) -> int:
    """Frames that the container counts, of an MP4 those that its edit list shows; 0 where it does not count."""
    entries = _entries(stream)
    return sum(not entry.is_discard for entry in entries) if entries else stream.frames


def length_shown_s(stream: VideoStream) -> float | None:
    """Of an MP4, from the first frame shown to the end of the last: its track's length also counts an edit list's
    delay before the first, and however long the last one stands. None: not known."""
    shown = [entry.timestamp for entry in _entries(stream) if not entry.is_discard]
    if not shown or not stream.average_rate or not stream.time_base:
        return None
    return float((shown[-1] - shown[0]) * stream.time_base + 1 / stream.average_rate)


def holds_several_edits(stream: VideoStream) -> bool:
    """Whether an MP4's edit list joins several parts. For each, the index goes back to the key frame before it."""
    return any(entry.timestamp < before.timestamp for before, entry in itertools.pairwise(_entries(stream)))


def _entries(stream: VideoStream) -> list[IndexEntry]:
    if "mp4" not in stream.container.format.name or not stream.frames:
        return []
    return list(stream.index_entries)
