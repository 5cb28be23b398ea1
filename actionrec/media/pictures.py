"""One video track -> upright RGB frames of the clip's size and their times, and the verdict on the track.

A frame's time is its presentation time, or its decoding time in a container that stores no other (AVI). A frame with
neither stands one mean interval after its predecessor. Times are made strictly increasing: one that repeats or steps
back less than a second is put one tick after its predecessor; a larger step back is a new timeline, which continues one
mean interval after the old one.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.probe import GIB, Probe, frames_in_clip

SCALING = Interpolation.BILINEAR | Interpolation.BITEXACT  # bilinear widens its filter when it shrinks: no aliasing
WHOLE = 0.95  # the share of what is declared that counts as all of it
HEADER_SLACK_S = 0.25  # headers that give seconds round them up, by a few frames
NEW_TIMELINE_S = 1
ASSUMED_RATE = Fraction(25)  # of a file that has one frame and states no rate
LARGEST_PIXEL_BYTES = 6  # libav calls a picture that it has no memory for bad data; so we see whether there is any
MEASURED_FROM_DATA = ("mpegts", "mpeg")  # FFmpeg reads their duration off the last packet, so it promises nothing

Emit = Callable[[NDArray[np.uint8]], object]


class Pictures:
    """Takes the packets of one video track in order, hands each frame [H, W, 3] to `emit`, and judges at the end."""

    def __init__(self, stream: VideoStream, header: Probe, clip: Clip, limits: Limits, emit: Emit) -> None:
        stream.codec_context.thread_count = 1  # one frame in flight: bounded memory, errors at their own packet
        self.stream = stream
        self.header, self.clip, self.limits, self.emit = header, clip, limits, emit
        self.max_s = Fraction(str(clip.max_s))
        self.clock = Clock(header.time_base, header.rate or ASSUMED_RATE)
        self._end_tick = math.ceil(self.max_s / header.time_base)
        self.done = False  # the clip's end was reached
        self.damage: str | None = None
        self._scaler = VideoReformatter()
        self._skipped = 0  # packets that by design give no frame: empty ones, and those before an edit list's start
        self._reached_s = Fraction(0)  # where the last packet ends, on the container's clock
        self._raw_bytes = 0

    @property
    def end_s(self) -> Fraction | None:
        """Where the clip ends on the container's clock; None before the first frame."""
        return self.clock.start_s + self.max_s if self.clock.ticks else None

    @property
    def frames_declared(self) -> int:
        """Frames that the container counts for the part decoded; 0 where it does not count."""
        declared = frames_in_clip(self.header, self.clip)
        if declared and self.done:
            return len(self.clock.ticks)
        if self.header.container == "avi" and self.clock.ticks:  # it counts places in time, of which some may be empty
            return round(declared * len(self.clock.ticks) * self.clock.time_base / self.clock.duration_s())
        return max(declared - self._skipped, 0)

    def feed(self, packet: Packet[Any]) -> None:
        """Decode one packet. Raises VideoError: corrupt, too_large."""
        if self.done:
            return
        empty = packet.size == 0 and packet.dts is not None  # a repeated picture; libav would take it for the end
        self._skipped += empty or packet.is_discard
        self.note_time(packet)
        if empty:
            return
        if self.damage and packet.size:
            raise VideoError(Reason.CORRUPT, f"{self.damage}, after {len(self.clock.ticks)} good frames")
        if packet.is_corrupt and self.header.container != "mpegts":  # there it also marks a splice: decoding will tell
            self.damage = "a packet is not whole"
            return
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            np.empty(LARGEST_PIXEL_BYTES * self.header.width * self.header.height, np.uint8)  # else MemoryError
            self.damage = f"a frame cannot be decoded: {error}"
            return
        for frame in frames:
            self._take(frame)

    def check(self) -> None:
        """The verdict, once everything was read. Raises VideoError: truncated, corrupt, no_frames."""
        decoded, declared = len(self.clock.ticks), self.frames_declared
        cause = f" ({self.damage})" if self.damage else ""
        if not self.done and not (self.clip.allow_partial and decoded):
            if decoded < WHOLE * declared:
                raise VideoError(Reason.TRUNCATED, f"{decoded} of {declared} frames could be decoded{cause}")
            promised_s = 0.0 if declared or self.header.container in MEASURED_FROM_DATA else self.header.duration_s
            promised_s = min(promised_s or 0.0, self.clip.max_s)
            if self._reached_s < min(WHOLE * promised_s, promised_s - HEADER_SLACK_S):
                reached = f"{float(self._reached_s):.2f} of {promised_s:.2f} s"
                raise VideoError(Reason.TRUNCATED, f"the file ends at {reached}{cause}")
        if not decoded:
            raise VideoError(Reason.CORRUPT if self.damage else Reason.NO_FRAMES, f"no frame could be decoded{cause}")

    def note_time(self, packet: Packet[Any]) -> None:
        """How far the file reaches: asked where a container gives its length in seconds only."""
        if self.header.frames_declared:
            return
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None and packet.time_base:
            self._reached_s = max(self._reached_s, (at + (packet.duration or 0)) * packet.time_base)

    def _take(self, frame: VideoFrame) -> None:
        if self.done:
            return
        if frame.is_corrupt:
            self.damage = "the decoder calls a frame damaged"
            return
        if self.clock.next_tick(frame) >= self._end_tick:
            self.done = True
            return
        self._check_size(frame)
        self.clock.take(frame)
        self.emit(self._upright_rgb(frame))

    def _check_size(self, frame: VideoFrame) -> None:
        """The limits again, on what was really decoded: a header can lie."""
        self._raw_bytes += frame.width * frame.height * 3
        for name, value, limit in (
            ("frames", len(self.clock.ticks) + 1, self.limits.frames),
            ("frame_megapixels", frame.width * frame.height / 1e6, self.limits.frame_megapixels),
            ("raw_gib", self._raw_bytes / GIB, self.limits.raw_gib),
        ):
            if value > limit:
                raise VideoError(Reason.TOO_LARGE, f"decoding passed limits.{name} = {limit:.6g}")

    def _upright_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Uint8 [H, W, 3], scaled straight from the codec's own pixels and turned as the display matrix says.
        libav never turns a decoded frame by itself, so this is the one place that does."""
        across_x, down_x, across_y, down_y = _display_matrix(frame)
        turned = abs(down_x) > abs(across_x)
        width, height = (self.clip.height, self.clip.width) if turned else (self.clip.width, self.clip.height)
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=SCALING, threads=1
        ).to_ndarray()
        if turned:
            scaled, across_x, down_y = scaled.swapaxes(0, 1), across_y, down_x
        return np.ascontiguousarray(scaled[:: -1 if down_y < 0 else 1, :: -1 if across_x < 0 else 1])


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d): the pixel (x, y) is shown at (a x + c y, b x + d y)."""
    try:
        side_data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside it is something PyAV has no name for, such as EXIF: the angle is all that can be read
        cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[round(frame.rotation / 90) * 90 % 360]
        return cos, -sin, sin, cos
    if side_data is None:
        return 1, 0, 0, 1
    matrix = np.frombuffer(cast(bytes, side_data), np.int32).tolist()
    return matrix[0], matrix[1], matrix[3], matrix[4]


class Clock:
    """The times of successive frames, in ticks of time_base after the first (the rule is at the top of the file)."""

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        self.time_base, self.rate = time_base, rate
        self.ticks: list[int] = []
        self.start_s = Fraction(0)  # the first frame's time on the container's clock
        self._interval = max(1, round(1 / (rate * time_base)))
        self._new_timeline = NEW_TIMELINE_S / time_base
        self._shift = 0

    def next_tick(self, frame: VideoFrame) -> int:
        """When `frame` is shown if it is the next one."""
        return self._next(frame)[0]

    def take(self, frame: VideoFrame) -> None:
        """Add the next frame."""
        tick, self._shift = self._next(frame)
        if not self.ticks:
            self.start_s = -self._shift * self.time_base
        self.ticks.append(tick)

    def duration_s(self) -> Fraction:
        """The last time and one interval: 1 / rate where the times agree with that rate, else the mean interval.
        So T frames at a constant rate last exactly T / rate, also where the container rounds times to milliseconds.
        Always later than the last frame: where a tick is a whole frame, one that is missing takes the second rule."""
        count, last_s = len(self.ticks), self.ticks[-1] * self.time_base
        if abs(last_s - (count - 1) / self.rate) <= self.time_base and last_s < count / self.rate:
            return count / self.rate
        return last_s * count / (count - 1)

    def _next(self, frame: VideoFrame) -> tuple[int, int]:
        """(ticks after the first frame, the shift from the container's clock to ours)."""
        stored = frame.pts if frame.pts is not None else frame.dts
        if not self.ticks:
            return 0, -(stored or 0)
        last = self.ticks[-1]
        if stored is None:
            return last + self._interval, self._shift
        tick = stored + self._shift
        if last - tick >= self._new_timeline:
            return last + self._interval, last + self._interval - stored
        if tick <= last:
            return last + (1 if frame.pts is not None else self._interval), self._shift
        return tick, self._shift
