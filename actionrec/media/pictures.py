"""One video track -> upright RGB frames of the clip's size and their times, and the verdict on the track.

What was promised is held against the video's own frames and clock. Where a container gives one length for all its
tracks (Matroska without tags, ASF, FLV), another track that goes on to that length explains why the video ends before.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import av.error
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.clock import Clock
from actionrec.media.landing import Landing
from actionrec.media.leading import Leading
from actionrec.media.probe import GIB, Probe, frames_in_clip

SCALING = Interpolation.BILINEAR | Interpolation.BITEXACT  # bilinear widens its filter when it shrinks: no aliasing
WHOLE = 0.95  # the share of what is declared that counts as all of it
HEADER_SLACK_S = 0.25  # headers that give seconds round them up, by a few frames
ASSUMED_RATE = Fraction(25)  # of a file that has one frame and states no rate
LARGEST_PIXEL_BYTES = 6  # libav calls a picture that it has no memory for bad data; so we see whether there is any
MEASURED_FROM_DATA = ("mpegts", "mpeg")  # FFmpeg reads their duration off the last packet, so it promises nothing

Emit = Callable[[NDArray[np.uint8]], object]


class Pictures:
    """Takes the packets of one video track in order, hands each frame [H, W, 3] to `emit`, and judges at the end.
    Where `emit` is None nobody wants them: they are decoded all the same, for their times and the verdict, and no more.

    begin_s, end_s: the segment wanted, on the pictures' clock (end_s None: to the video's end); of it the first
    clip.max_s are taken. Frames before it are decoded and left out."""

    def __init__(
        self,
        stream: VideoStream,
        header: Probe,
        clip: Clip,
        limits: Limits,
        emit: Emit | None,
        begin_s: Fraction = Fraction(0),
        end_s: Fraction | None = None,
    ) -> None:
        stream.codec_context.thread_count = 1  # one frame in flight: bounded memory, errors at their own packet
        stream.codec_context.flags |= Flags.copy_opaque  # a frame says from which packet it came
        self.stream = stream
        self.header, self.clip, self.limits, self.emit = header, clip, limits, emit
        self.begin_s = begin_s
        self.end_s = (
            begin_s + Fraction(str(clip.max_s)) if end_s is None else min(end_s, begin_s + Fraction(str(clip.max_s)))
        )
        self.clock = Clock(header.time_base, header.rate or ASSUMED_RATE)
        self.skipped = 0  # frames of the clock that lie before the segment
        self._is_segment, self._is_open = bool(begin_s) or end_s is not None, end_s is None
        self.landing: Landing | None = None  # where a seek has led to
        self.done = False  # the clip's end was reached
        self.damage: str | None = None
        self._scaler = VideoReformatter()
        self._empty = 0  # packets that by design give no frame
        self._leading = Leading()
        self._reached_s = self._others_reach_s = Fraction(0)  # where the last packet ends, on the container's clock
        self._raw_bytes = 0

    @property
    def shown(self) -> int:
        """How many frames of the segment there were."""
        return len(self.clock.ticks) - self.skipped

    def span_s(self, timeline: int) -> tuple[Fraction | float, Fraction | float] | None:
        """Where the clip lies in a timeline's stored times; at -inf: before it; None: not yet known."""
        shift_s = self.clock.shift_s(timeline)
        if shift_s is None:
            return (-math.inf, -math.inf) if self.done else None
        return self.begin_s - shift_s, self.end_s - shift_s

    @property
    def frames_declared(self) -> int:
        """Frames that the container counts for the part decoded; 0 where it does not count, as for a segment."""
        if self._is_segment:
            return 0
        declared = frames_in_clip(self.header, self.clip)
        if declared and self.done:
            return len(self.clock.ticks)
        declared = max(declared - self._leading.lost, 0)
        if self.header.container == "avi" and self.clock.ticks:  # it counts places in time, of which some may be empty
            return round(declared * len(self.clock.ticks) * self.clock.time_base / self.clock.duration_s())
        return max(declared - self._empty, 0)

    def add(self, packet: Packet[Any], timeline: int) -> None:
        """Decode one packet. Raises VideoError: corrupt, too_large."""
        if self.done:
            return
        self.note_time(packet)
        if packet.size == 0 and packet.dts is not None:  # a repeated picture; libav would take it for the end
            self._empty += 1
            return
        if self.damage and packet.size:
            raise VideoError(Reason.CORRUPT, f"{self.damage}, after {len(self.clock.ticks)} good frames")
        if packet.is_corrupt and self.header.container != "mpegts":  # there it also marks a splice: decoding will tell
            self.damage = "a packet is not whole"
            return
        if self.landing:
            self.landing.check_packet(packet)
        if packet.size:
            packet.opaque = (self._leading.number(packet), timeline)
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            np.empty(LARGEST_PIXEL_BYTES * self.header.width * self.header.height, np.uint8)  # else MemoryError
            self.damage = f"a frame cannot be decoded: {error}"
            return
        for frame in frames:
            self._take(frame, timeline)

    def check(self) -> None:
        """The verdict, once everything was read. Raises VideoError: truncated, corrupt, no_frames."""
        decoded, declared = self.shown, self.frames_declared
        cause = f" ({self.damage})" if self.damage else ""
        if not self.done and not (self.clip.allow_partial and decoded):
            if self._is_segment and self.clock.ticks:
                self._check_segment(cause)
            elif decoded < WHOLE * declared:
                raise VideoError(Reason.TRUNCATED, f"{decoded} of {declared} frames could be decoded{cause}")
            promised_s = 0.0 if declared or self._is_segment else min(self._promised_s(), self.clip.max_s)
            if falls_short(self._reached_s, promised_s):
                reached = f"{float(self._reached_s):.2f} of {promised_s:.2f} s"
                raise VideoError(Reason.TRUNCATED, f"the file ends at {reached}{cause}")
        if not decoded:
            raise VideoError(Reason.CORRUPT if self.damage else Reason.NO_FRAMES, f"{self._nothing()}{cause}")

    def _nothing(self) -> str:
        """Why no frame was handed on."""
        if self.clock.ticks:
            span = f"{float(self.begin_s):.6g} and {float(self.end_s):.6g} s"
            return f"no frame begins between {span}; let the segment begin earlier or end later"
        if self.stream.frames and not self.header.frames_declared:
            return f"the file's edit list shows none of its {self.stream.frames} frames"
        return "no frame could be decoded"

    def _check_segment(self, cause: str) -> None:
        """Hold the video's end against the segment's, or against the file's own promise where that says none."""
        clock = self.clock
        ends_s = float(clock.ticks[-1] * clock.time_base + 1 / clock.rate)
        begin_s, end_s = float(self.begin_s), float(self.end_s)
        counted = self.header.frames_declared and self.header.duration_s
        promised_s = counted or max(self._promised_s() + float(clock.shift_s(0) or 0), 0.0)
        if not self.shown and begin_s >= ends_s:
            reason = Reason.TRUNCATED if falls_short(ends_s, min(promised_s, begin_s)) else Reason.NO_FRAMES
            raise VideoError(reason, f"the segment begins at {begin_s:.2f} s, the video ends at {ends_s:.2f} s{cause}")
        if self._is_open:
            end_s = min(end_s, promised_s)
        if falls_short(ends_s - begin_s, end_s - begin_s):
            detail = f"the video ends at {ends_s:.2f} s, before the segment does at {end_s:.2f} s{cause}"
            raise VideoError(Reason.TRUNCATED, detail)

    def note_time(self, packet: Packet[Any]) -> None:
        """How far the file reaches: asked where a container gives its length in seconds only."""
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None or not packet.time_base:
            return
        begin_s, length_s = at * packet.time_base, (packet.duration or 0) * packet.time_base
        if packet.stream is self.stream:
            self._reached_s = max(self._reached_s, begin_s + length_s)
        else:  # a line of text may stand for long: it does not say that what came after it is there
            length_s = min(length_s, Fraction(1)) if self.header.is_cut else length_s
            self._others_reach_s = max(self._others_reach_s, begin_s + length_s)

    def _promised_s(self) -> float:
        """Where the video should end on the container's clock; 0: nobody says, or the length is another track's."""
        if self.header.track_end_s:
            return self.header.track_end_s
        whole_s = self.header.duration_s or 0.0
        if self.header.container in MEASURED_FROM_DATA:
            return 0.0
        begin_s, end_s = float(self.begin_s), min(whole_s, float(self.end_s))
        return whole_s if falls_short(self._others_reach_s - begin_s, end_s - begin_s) else 0.0

    def _take(self, frame: VideoFrame, timeline: int) -> None:
        if self.done:
            return
        if frame.is_corrupt:
            self.damage = "the decoder calls a frame damaged"
            return
        if isinstance(frame.opaque, tuple):  # not every decoder passes it on
            number, timeline = frame.opaque
            self._leading.shown(number)
        if self.landing:
            self.landing.check_frame(frame)
        at_s = self.clock.next_tick(frame, timeline) * self.clock.time_base
        if at_s >= self.end_s:
            self.done = True
            return
        if at_s < self.begin_s:
            self.clock.take(frame, timeline)
            self.skipped += 1
            return
        self._check_size(frame)
        self.clock.take(frame, timeline)
        if self.emit is not None:
            self.emit(self._upright_rgb(frame))

    def _check_size(self, frame: VideoFrame) -> None:
        """The limits again, on what was really decoded: a header can lie."""
        self._raw_bytes += frame.width * frame.height * 3
        for name, value, limit in (
            ("frames", self.shown + 1, self.limits.frames),
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


def falls_short(reached_s: Fraction | float, promised_s: Fraction | float) -> bool:
    """Whether what was reached is less than all of what was promised, beyond the rounding of headers."""
    return reached_s < min(WHOLE * float(promised_s), float(promised_s) - HEADER_SLACK_S)
