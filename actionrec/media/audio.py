"""One audio track -> mono float32 at 16 kHz, placed by its own timestamps on the video's clock.

Where a file holds several timelines (clock.py), the sound of each stands with the pictures of the same one, and what
reaches over the join on either side is cut: sound and pictures do not end at the same moment, and stay in step."""

from __future__ import annotations  # av.Packet is generic in its stubs only

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from actionrec.errors import Reason, VideoError
from actionrec.media.clock import Clock
from actionrec.media.landing import PREROLL_S

RATE_HZ = 16_000
Span = tuple[Fraction | float, Fraction | float]  # begin and end, in seconds
GAP_S = Fraction(1, 20)  # a larger hole between two audio frames is silence, a larger overlap is cut; less is rounding


class Run:
    """Audio frames that follow each other without a hole, resampled as they come. Mono is the mean of the channels,
    as VGGish's own reader has it: never louder than its loudest channel, in any layout."""

    def __init__(self, first: AudioFrame, start_s: Fraction, timeline: int) -> None:
        self.start_s = self.end_s = start_s  # as stored
        self.timeline = timeline
        self.kind = (first.sample_rate, first.format.name, first.layout.name)
        self._resampler = AudioResampler(format="fltp", rate=RATE_HZ)
        self._chunks: list[NDArray[np.float32]] = []

    def append(self, frame: AudioFrame) -> None:
        self.end_s += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler must not repair times: a run has none inside
        self._keep(frame)

    def samples(self) -> NDArray[np.float32]:
        """Float32 [S], once: flushes the resampler."""
        self._keep(None)
        return np.concatenate([np.empty(0, np.float32), *self._chunks])

    def _keep(self, frame: AudioFrame | None) -> None:
        for piece in cast("list[AudioFrame | None]", self._resampler.resample(frame)):
            if piece is not None:  # what a resampler with nothing to do answers to a flush
                self._chunks.append(piece.to_ndarray().astype(np.float32, copy=False).mean(axis=0))


class Sound:
    """Collects the first audio track while the container is read. Where the track fails, `error` says how and the
    sound is None: the pictures are still good, and whoever needs the sound can see that it was lost.

    codec: what the track calls its codec if there is no decoder for it, else None."""

    def __init__(self, stream: AudioStream | None, max_s: float, codec: str | None = None) -> None:
        self.stream = stream
        self.done = stream is None
        self.error: VideoError | None = None  # no_decoder or corrupt
        self._max_s = max_s
        self._runs: list[Run] = []
        self._reached: tuple[int, Fraction] | None = None  # timeline and end of the last frame
        self._damage: str | None = None
        if codec is not None:
            self._fail(
                Reason.NO_DECODER, f"no decoder knows its audio codec {codec}; convert the file to have its sound"
            )
        elif stream is not None:
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "crccheck+explode"}  # FLAC and AC-3 check only when asked to

    def add(self, packet: Packet[Any], timeline: int, span_s: Span | None) -> None:
        """Decode one packet; frames outside span_s (as the timeline stores times; None: not yet known) are not kept."""
        if self.done or (packet.size == 0 and packet.dts is not None):
            return
        if self._damage and packet.size:  # data follow the damage, so it is not the end of a truncated file
            self._fail(Reason.CORRUPT, self._damage)
            return
        if packet.is_corrupt:
            self._damage = "an audio packet is not whole"
            return
        try:
            for frame in packet.decode():
                self._take(cast(AudioFrame, frame), timeline, span_s)
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            self._damage = f"audio cannot be decoded: {error}"

    def clip(self, clock: Clock, start_s: Fraction, max_s: Fraction) -> NDArray[np.float32] | None:
        """Float32 [S] from start_s (on the pictures' clock) for at most max_s; holes are silence. None: nothing."""
        if self.error is not None:
            return None
        placed = [(round((at_s - start_s) * RATE_HZ), samples) for at_s, samples in self._placed(clock)]
        end = min(max((at + len(samples) for at, samples in placed), default=0), int(max_s * RATE_HZ))
        if end <= 0:
            return None
        sound = np.zeros(end, np.float32)
        for at, samples in placed:
            wanted = samples[max(-at, 0) : max(end - at, 0)]
            sound[max(at, 0) : max(at, 0) + len(wanted)] = wanted
        if not np.isfinite(sound).all():
            self._fail(Reason.CORRUPT, "audio decodes to values that are not numbers")
            return None
        return np.clip(sound, -1, 1)

    def _placed(self, clock: Clock) -> Iterator[tuple[Fraction, NDArray[np.float32]]]:
        """Each run and where it stands on the pictures' clock. Without pictures of its timeline it follows the last."""
        reached_s = Fraction(0)
        for run, following in itertools.zip_longest(self._runs, self._runs[1:]):
            shift_s, samples = clock.shift_s(run.timeline), run.samples()
            at_s = reached_s if shift_s is None else run.start_s + shift_s
            begin_s, end_s = clock.begin_s(run.timeline), clock.begin_s(following.timeline) if following else None
            if end_s is not None and following.timeline != run.timeline:
                samples = samples[: max(round((end_s - at_s) * RATE_HZ), 0)]
            if begin_s is not None and at_s < begin_s:
                samples, at_s = samples[round((begin_s - at_s) * RATE_HZ) :], begin_s
            reached_s = at_s + Fraction(len(samples), RATE_HZ)
            yield at_s, samples

    def _take(self, frame: AudioFrame, timeline: int, span_s: Span | None) -> None:
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        last = self._runs[-1] if self._runs and self._runs[-1].timeline == timeline else None
        at_s = self._time_s(frame, timeline)
        self._reached = timeline, at_s + Fraction(frame.samples, frame.sample_rate)
        if self._ends(timeline, at_s, span_s):
            self.done = True
        elif span_s is not None and self._reached[1] < span_s[0] - PREROLL_S:
            return
        elif last is not None and at_s < last.end_s - GAP_S:
            return  # heard already: pieces laid end to end overlap by what an encoder puts before its sound
        elif last is not None and kind == last.kind and at_s - last.end_s <= GAP_S:
            last.append(frame)
        elif frame.samples:
            self._runs.append(Run(frame, at_s, timeline))
            self._runs[-1].append(frame)

    def _ends(self, timeline: int, at_s: Fraction, span_s: Span | None) -> bool:
        """Whether nothing from here on can be wanted. Memory stays bounded where later timelines have no pictures."""
        if span_s is not None:
            return at_s >= span_s[1]
        waiting_s = sum(run.end_s - run.start_s for run in self._runs if run.timeline)
        return timeline > 0 and waiting_s > self._max_s

    def _time_s(self, frame: AudioFrame, timeline: int) -> Fraction:
        """As stored; a frame without a time follows the one before."""
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        return self._reached[1] if self._reached is not None and self._reached[0] == timeline else Fraction(0)

    def _fail(self, reason: Reason, detail: str) -> None:
        self.error = VideoError(reason, detail)
        self.done = True
