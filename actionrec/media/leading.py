"""What a cut by stream copy costs at a file's beginning."""

from __future__ import annotations  # av.Packet is generic in its stubs only

from typing import Any, cast

from av.packet import Packet


class Leading:
    """Counts the frames that a cut by stream copy made undecodable. Where it cut an open group of pictures, the first
    key frame is followed by pictures shown before it, which refer to what was cut off: a decoder drops them without a
    word. They are the packets right behind the file's first one, a key frame, up to the first that gives a frame."""

    def __init__(self) -> None:
        self._fed = 0
        self._key_pts: int | None = None
        self._end: int | None = 0  # the first packet that cannot be one of them; None: not yet met
        self._shown: int | None = None  # the first packet behind the key frame that gave a frame

    def number(self, packet: Packet[Any]) -> int:
        """The packet's number in the file's order, from 0. What an edit list hides is not counted: it has -1."""
        if packet.is_discard:
            return -1
        number = self._fed
        self._fed += 1
        if number == 0 and packet.is_keyframe:
            self._key_pts, self._end = packet.pts, None
        elif self._end is None:
            shown_later = None not in (packet.pts, self._key_pts) and cast(int, packet.pts) > cast(int, self._key_pts)
            if packet.is_keyframe or shown_later:
                self._end = number
        return number

    def shown(self, number: int) -> None:
        """A packet gave a frame."""
        if number > 0:
            self._shown = number if self._shown is None else min(number, self._shown)

    @property
    def lost(self) -> int:
        """How many there are; 0 where nothing behind the key frame could be decoded, for then more is wrong."""
        ends = [end for end in (self._end, self._shown) if end is not None]
        return max(min(ends) - 1, 0) if self._shown is not None else 0
