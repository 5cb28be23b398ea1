"""Stored times -> the times that a player gives, also where several recordings were laid end to end.

Such a file holds several timelines, each with times of its own. `Timelines` says which one a packet of any track
belongs to, `Clock` where each lies on the one clock that the pictures are shown by; sound is placed by the same clock.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

from fractions import Fraction
from typing import Any, cast

from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.video.frame import VideoFrame

NEW_TIMELINE_S = 1  # a larger step back is a new timeline in any container
RESTART_S = Fraction(1, 10)  # the same where a container's clock may start again: MPEG streams, Ogg
JUMP_S = 10  # and there a larger step forward is one too
TS_DISCONT: int = cast(Any, Flags.ts_discont).value  # the stubs take it for a number
AHEAD_S = 5  # how far the tracks of one timeline may be apart
LAG_S = Fraction(3, 2)  # how late a muxer writes a track's packets behind those of another


class Timelines:
    """The timelines of a file, found while its packets are read in order. They are numbered from 0.

    A track goes over to the next timeline when its decoding times step back, or far forward where the container's clock
    may do so. Tracks do not arrive at the same byte, so the one that comes later joins the timeline that another has
    begun, if its times fit in there; a pause of one track, while another goes on, is no new timeline.
    """

    def __init__(self, container: InputContainer) -> None:
        self._may_restart = bool(container.format.flags & TS_DISCONT)
        self._back_s = RESTART_S if self._may_restart else Fraction(NEW_TIMELINE_S)
        self._spans: list[tuple[Fraction, Fraction]] = []  # of each timeline: first and furthest stored time
        self._tracks: dict[int, tuple[int, Fraction]] = {}  # of each track: its timeline, its furthest time there

    def of(self, packet: Packet[Any]) -> int:
        """The number of the packet's timeline. Every packet of every track is asked for, in the file's order."""
        stored, index = packet.dts if packet.dts is not None else packet.pts, packet.stream.index
        if stored is None or packet.time_base is None:
            return self._tracks.get(index, (0, 0))[0]
        at_s = stored * packet.time_base
        number, reached_s = self._tracks.get(index, (max(len(self._spans) - 1, 0), at_s))
        if at_s < reached_s - self._back_s:
            number, reached_s = self._joined(number + 1, at_s), at_s
        elif (self._may_restart and at_s > reached_s + JUMP_S) or not self._spans:
            number, reached_s = self._joined(number, at_s), at_s
        first_s, last_s = self._spans[number]
        self._spans[number] = min(first_s, at_s), max(last_s, at_s)
        self._tracks[index] = number, max(reached_s, at_s)
        return number

    def _joined(self, earliest: int, at_s: Fraction) -> int:
        """The first timeline from `earliest` on that the time fits in, else a new one."""
        fitting, played_since_s = {}, Fraction(0)
        for number in range(len(self._spans) - 1, earliest - 1, -1):
            first_s, last_s = self._spans[number]
            if first_s - AHEAD_S <= at_s <= last_s + AHEAD_S:
                fitting[number] = last_s - at_s + played_since_s
            played_since_s += last_s - first_s
        if prompt := [number for number, lag_s in fitting.items() if lag_s <= LAG_S]:
            return min(prompt)
        if fitting:
            return min(fitting, key=fitting.__getitem__)
        self._spans.append((at_s, at_s))
        return len(self._spans) - 1


class Clock:
    """The times of successive frames, in ticks of time_base after the first.

    A frame's time is its presentation time, or its decoding time in a container that stores no other (AVI). A frame
    with neither stands one mean interval after its predecessor. Times are made strictly increasing: one that repeats or
    steps back a little is put one tick after its predecessor. The first frame of a new timeline stands one mean
    interval after the last frame of the old one, however far its stored time lies before or after: where a clock that
    may start again (MPEG streams) leaps more than JUMP_S forward in all tracks, that is a splice, and a player does not
    wait hours for it. A shorter gap, and any gap in a container whose clock runs through, is a pause and stays as long.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        self.time_base, self.rate = time_base, rate
        self.ticks: list[int] = []
        self._interval = max(1, round(1 / (rate * time_base)))
        self._new_timeline = NEW_TIMELINE_S / time_base
        self._shifts: dict[int, int] = {}  # of each timeline: ticks from its stored times to ours
        self._placed: dict[int, tuple[Fraction, Fraction]] = {}  # of each timeline shown: shift, begin on our clock

    def next_tick(self, frame: VideoFrame, timeline: int) -> int:
        """When `frame` is shown if it is the next one."""
        return self._next(frame, timeline)[0]

    def take(self, frame: VideoFrame, timeline: int) -> None:
        """Add the next frame."""
        tick, shift = self._next(frame, timeline)
        if shift is not None:
            self._shifts[timeline] = shift
            self._placed.setdefault(timeline, (shift * self.time_base, tick * self.time_base))
        self.ticks.append(tick)

    def shift_s(self, timeline: int) -> Fraction | None:
        """What to add to a stored time of that timeline; None where none of its frames was shown."""
        return self._placed[timeline][0] if timeline in self._placed else None

    def begin_s(self, timeline: int) -> Fraction | None:
        """When the first frame of that timeline is shown; None where none was."""
        return self._placed[timeline][1] if timeline in self._placed else None

    def duration_s(self, skipped: int = 0) -> Fraction:
        """The last time and one interval, of the frames after the first `skipped` and from the first of them on:
        1 / rate where the times agree with that rate, else the mean interval.
        So T frames at a constant rate last exactly T / rate, also where the container rounds times to milliseconds.
        Always later than the last frame: where a tick is a whole frame, one that is missing takes the second rule."""
        count = len(self.ticks) - skipped
        last_s = (self.ticks[-1] - self.ticks[skipped]) * self.time_base
        if abs(last_s - (count - 1) / self.rate) <= self.time_base and last_s < count / self.rate:
            return count / self.rate
        return last_s * count / (count - 1)

    def _next(self, frame: VideoFrame, timeline: int) -> tuple[int, int | None]:
        """(ticks after the first frame, the shift from the timeline's stored times to ours; None: not yet known)."""
        stored, shift = frame.pts if frame.pts is not None else frame.dts, self._shifts.get(timeline)
        if not self.ticks:
            return 0, -(stored or 0)
        last, following = self.ticks[-1], self.ticks[-1] + self._interval
        if stored is None:
            return following, shift
        if shift is None or last - (stored + shift) >= self._new_timeline:
            return following, following - stored
        if stored + shift <= last:
            return last + 1 if frame.pts is not None else following, shift
        return stored + shift, shift
