"""One audio track -> mono float32 at 16 kHz, placed by its own timestamps on the video's clock."""

from __future__ import annotations  # av.Packet is generic in its stubs only

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

RATE_HZ = 16_000
GAP_S = Fraction(1, 20)  # a larger hole between two audio frames is silence; smaller ones are rounding


class Run:
    """Audio frames that follow each other without a hole, resampled as they come. Mono is the mean of the channels,
    as VGGish's own reader has it: never louder than its loudest channel, in any layout."""

    def __init__(self, first: AudioFrame, start_s: Fraction) -> None:
        self.start_s = start_s
        self.end_s = start_s
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
    sound is None: the pictures are still good, and whoever needs the sound can see that it was lost."""

    def __init__(self, stream: AudioStream | None) -> None:
        self.stream = stream
        self.done = stream is None
        self.error: str | None = None
        self._runs: list[Run] = []
        self._shift_s = Fraction(0)
        self._damage: str | None = None
        if stream is not None and not stream.codec_context:  # the stubs know of no such case
            self._fail("there is no decoder for its audio codec")
        elif stream is not None:
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "crccheck+explode"}  # FLAC and AC-3 check only when asked to

    def feed(self, packet: Packet[Any], end_s: Fraction | None) -> None:
        """Decode one packet; frames from end_s on (on the container's clock; None: not yet known) are not kept."""
        if self.done or (packet.size == 0 and packet.dts is not None):
            return
        if self._damage and packet.size:  # data follow the damage, so it is not the end of a truncated file
            self._fail(self._damage)
            return
        if packet.is_corrupt:
            self._damage = "an audio packet is not whole"
            return
        try:
            for frame in packet.decode():
                self._take(cast(AudioFrame, frame), end_s)
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            self._damage = f"audio cannot be decoded: {error}"

    def clip(self, start_s: Fraction, max_s: Fraction) -> NDArray[np.float32] | None:
        """Float32 [S] from start_s (container's clock) for at most max_s; holes are silence. None: nothing there."""
        if self.error is not None:
            return None
        placed = [(round((run.start_s - start_s) * RATE_HZ), run.samples()) for run in self._runs]
        end = min(max((at + len(samples) for at, samples in placed), default=0), int(max_s * RATE_HZ))
        if end <= 0:
            return None
        sound = np.zeros(end, np.float32)
        for at, samples in placed:
            wanted = samples[max(-at, 0) : max(end - at, 0)]
            sound[max(at, 0) : max(at, 0) + len(wanted)] = wanted
        if not np.isfinite(sound).all():
            self._fail("audio decodes to values that are not numbers")
            return None
        return np.clip(sound, -1, 1)

    def _take(self, frame: AudioFrame, end_s: Fraction | None) -> None:
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        last = self._runs[-1] if self._runs else None
        at_s = self._time_s(frame, last.end_s if last else Fraction(0))
        if end_s is not None and at_s >= end_s:
            self.done = True
        elif last is not None and kind == last.kind and at_s - last.end_s <= GAP_S:
            last.append(frame)
        elif frame.samples:
            self._runs.append(Run(frame, at_s))
            self._runs[-1].append(frame)

    def _time_s(self, frame: AudioFrame, expected_s: Fraction) -> Fraction:
        """A frame without a time follows the one before; so does one that steps back, and all after it with it."""
        if frame.pts is None or frame.time_base is None:
            return expected_s
        at_s = frame.pts * frame.time_base + self._shift_s
        if self._runs and at_s < expected_s - GAP_S:
            self._shift_s += expected_s - at_s
            return expected_s
        return at_s

    def _fail(self, error: str) -> None:
        self.error = error
        self.done = True
