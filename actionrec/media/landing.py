"""A seek that cannot lie: where it leads to is checked before a frame of the segment is believed.

Only containers with an index of key frames are asked. A seek counts if the first packet is a key frame that is shown
no later than the segment begins, and the first frame is that one; then every frame of the segment depends on nothing
before it, and is what decoding from the start would give. Anything else is decoded from the start: right before fast.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
PREROLL_S = 1  # sound before the segment, so that its decoder has settled; also more than two tracks lie apart


class SeekError(Exception):
    """Decode this file from its start."""


class Landing:
    """What must come first after a seek: a key frame after the packets read before it, not after the segment's begin.

    after: the furthest stored time read before the seek; begin_s: as the track stores it."""

    def __init__(self, after: int, begin_s: Fraction) -> None:
        self._after, self._begin_s = after, begin_s
        self._key_pts: int | None = None
        self._is_confirmed = False

    def check_packet(self, packet: Packet[Any]) -> None:
        """Raises SeekError."""
        if self._key_pts is not None:
            return
        pts, time_base = packet.pts, packet.time_base
        if pts is None or time_base is None or not packet.is_keyframe or pts <= self._after:
            raise SeekError
        if pts * time_base > self._begin_s:
            raise SeekError
        self._key_pts = pts

    def check_frame(self, frame: VideoFrame) -> None:
        """Raises SeekError."""
        if not self._is_confirmed and frame.pts != self._key_pts:
            raise SeekError
        self._is_confirmed = True
