"""Bytes -> the frames, times and sound of a video's first seconds, in one pass over the container.

Whatever is wrong with a file ends in a VideoError with its reason, never in fewer frames without a word:

- damaged data (a decoding error, a frame the decoder calls corrupt, a packet that is not whole) with more data after it
  is `corrupt`; at the very end of the file the damaged frame is dropped, as if the file ended before it;
- fewer than 95 % of the frames declared (of the seconds, where the container does not count) is `truncated`;
- what a decoder conceals without a word cannot be seen here: H.265 and VP9 carry no checksums.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, cast

import av.error
import numpy as np
from av.container import Flags, InputContainer
from av.packet import Packet
from numpy.typing import NDArray

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.audio import Sound
from actionrec.media.clock import Timelines
from actionrec.media.index import holds_several_edits
from actionrec.media.landing import PREROLL_S, SEEKABLE, Landing, SeekError
from actionrec.media.pictures import Emit, Pictures
from actionrec.media.probe import check_limits, codec_without_decoder, describe, open_container, part_of, video_stream

GEN_PTS: int = cast(Any, Flags.gen_pts).value  # the stubs take it for a number

SEEK_FROM_S = 2  # a segment that begins before is decoded from the start


@dataclass(frozen=True, kw_only=True)
class Track:
    """A decoded video but for its pictures. The time of frame k is exactly pts_ticks[k] * time_base seconds."""

    pts_ticks: NDArray[np.int64]  # [T], the first is 0, strictly increasing
    time_base: Fraction
    duration_s: Fraction  # the last frame's time and one frame interval: T / rate at a constant rate
    frames_declared: int  # what the file promised for the part decoded; 0: it does not count
    audio: NDArray[np.float32] | None  # [S] mono in -1..1 at 16 kHz, sample 0 at frame 0; None: no sound
    audio_error: str | None  # why a track that is there could not be decoded
    audio_reason: Reason | None  # of audio_error: no_decoder or corrupt


@dataclass(frozen=True, kw_only=True)
class Decoded(Track):
    frames_THWC: NDArray[np.uint8]  # [T, clip.height, clip.width, 3] RGB; [0, ...] where only the sound was wanted


@dataclass(frozen=True)
class Segment:
    """A part of a video: the frames with start_s <= time < end_s, in seconds on its clock as a player shows it, 0 being
    the first frame shown. end_s None: to the video's end. ValueError where it has no length."""

    start_s: float
    end_s: float | None

    def __post_init__(self) -> None:
        end_s = math.inf if self.end_s is None else self.end_s
        if not 0 <= self.start_s < end_s or self.end_s == math.inf:
            raise ValueError(
                f"a segment must begin at 0 or later and end after that, not {self.start_s} to {self.end_s}"
            )


def decode(data: bytes, clip: Clip, limits: Limits, segment: Segment | None = None) -> Decoded:
    """Decode the first clip.max_s of a video file, or of a segment of it, in this process. The first frame's time is 0
    in either case, and a segment's frames are those of the whole video, to the bit.

    Raises VideoError for any file that is not whole, or that ends before the segment does."""
    pixels = bytearray()
    track = decode_file(io.BytesIO(data), clip, limits, pixels.extend, segment)
    frames = np.frombuffer(pixels, np.uint8).reshape(-1, clip.height, clip.width, 3)
    return Decoded(frames_THWC=frames, **vars(track))


def decode_file(file: BinaryIO, clip: Clip, limits: Limits, emit: Emit | None, segment: Segment | None = None) -> Track:
    """The same, handing each frame [H, W, 3] to `emit` as it is decoded: memory does not grow with the video.

    emit None: no frame is made, for only the sound is wanted. It stands by the times of the pictures, and a video is
    whole or is not whoever asks, so all else is as it would be."""
    try:
        if segment is not None and segment.start_s >= SEEK_FROM_S:
            try:
                return _decode_file(file, clip, limits, emit, segment, seek=True)
            except SeekError:
                pass  # before any frame was handed on
        return _decode_file(file, clip, limits, emit, segment, seek=False)
    except MemoryError as error:
        raise VideoError(Reason.MEMORY, "decoding needs more than limits.decode_memory_gib") from error


def _decode_file(
    file: BinaryIO, clip: Clip, limits: Limits, emit: Emit | None, segment: Segment | None, *, seek: bool
) -> Track:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    begin_s, end_s = (0.0, None) if segment is None else (segment.start_s, segment.end_s)
    with open_container(file) as container:
        header = describe(container, size_bytes)
        check_limits(header if segment is None else part_of(header, begin_s, end_s), clip, limits)
        span_s = Fraction(str(begin_s)), None if end_s is None else Fraction(str(end_s))
        pictures = Pictures(video_stream(container), header, clip, limits, emit, *span_s)
        sound = _sound(container, clip.max_s)
        container.flags &= ~GEN_PTS  # AVI's guessed times are wrong where it holds B-frames
        try:
            if seek:
                _seek(container, pictures)
            _read(container, pictures, sound)
            return _verdict(pictures, sound)
        except VideoError:
            if seek and not pictures.shown:
                raise SeekError from None  # from the start, what is wrong can be said better
            raise


def _seek(container: InputContainer, pictures: Pictures) -> None:
    """Go to the last key frame before the segment. The first frame is decoded before, for times count from it."""
    header, stream = pictures.header, pictures.stream
    if header.container not in SEEKABLE or ("mp4" in header.container and not header.frames_declared):
        raise SeekError  # an MP4 in fragments has no index of all of them
    if holds_several_edits(stream):
        raise SeekError  # behind a seek, times lie otherwise about where two of them meet
    furthest = 0
    try:
        for packet in container.demux(stream):
            furthest = max(furthest, packet.pts or 0)
            pictures.add(packet, 0)
            if pictures.clock.ticks:
                break
        shift_s = pictures.clock.shift_s(0)
        if shift_s is None or pictures.damage:
            raise SeekError
        begin_s = pictures.begin_s - shift_s
        container.seek(math.floor((begin_s - PREROLL_S) / header.time_base), stream=stream)
    except (av.error.FFmpegError, OverflowError):  # or farther than FFmpeg can count
        raise SeekError from None
    pictures.landing = Landing(furthest, begin_s)


def _sound(container: InputContainer, max_s: float) -> Sound:
    stream = next(iter(container.streams.audio), None)
    return Sound(stream, max_s, None if stream is None else codec_without_decoder(container, stream))


def _read(container: InputContainer, pictures: Pictures, sound: Sound) -> None:
    """One pass, until both tracks have reached the clip's end. The other tracks say how far the file goes."""
    timelines = Timelines(container)
    try:
        for packet in _packets(container):
            timeline = timelines.of(packet)
            if packet.stream is pictures.stream:
                pictures.add(packet, timeline)
            else:
                pictures.note_time(packet)
            if packet.stream is sound.stream:
                sound.add(packet, timeline, pictures.span_s(timeline))
            if pictures.done and sound.done:
                return
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        pictures.damage = f"the file cannot be read further: {error.strerror}"


def _packets(container: InputContainer) -> Iterator[Packet[Any]]:
    """All packets of the tracks that the header names. Where more tracks turn up while reading, PyAV may stumble over
    them (IndexError) once everything else has been given."""
    packets = container.demux()
    while True:
        try:
            yield next(packets)
        except (StopIteration, IndexError):
            return


def _verdict(pictures: Pictures, sound: Sound) -> Track:
    pictures.check()
    clock, ticks = pictures.clock, np.array(pictures.clock.ticks[pictures.skipped :], np.int64)
    first_s = int(ticks[0]) * clock.time_base
    audio = sound.clip(clock, first_s, pictures.end_s - first_s)
    return Track(
        pts_ticks=ticks - ticks[0],
        time_base=clock.time_base,
        duration_s=clock.duration_s(pictures.skipped),
        frames_declared=pictures.frames_declared,
        audio=audio,
        audio_error=sound.error.detail if sound.error else None,
        audio_reason=sound.error.reason if sound.error else None,
    )
