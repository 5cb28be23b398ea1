"""Bytes -> the frames, times and sound of a video's first seconds, in one pass over the container.

Whatever is wrong with a file ends in a VideoError with its reason, never in fewer frames without a word:

- damaged data (a decoding error, a frame the decoder calls corrupt, a packet that is not whole) with more data after it
  is `corrupt`; at the very end of the file the damaged frame is dropped, as if the file ended before it;
- fewer than 95 % of the frames declared (of the seconds, where the container does not count) is `truncated`;
- what a decoder conceals without a word cannot be seen here: H.265 and VP9 carry no checksums.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, cast

import av.error
import numpy as np
from av.container import Flags, InputContainer
from numpy.typing import NDArray

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media.audio import Sound
from actionrec.media.clock import Timelines
from actionrec.media.pictures import Emit, Pictures
from actionrec.media.probe import check_limits, codec_without_decoder, describe, open_container, video_stream

GEN_PTS: int = cast(Any, Flags.gen_pts).value  # the stubs take it for a number


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
    frames_THWC: NDArray[np.uint8]  # [T, clip.height, clip.width, 3] RGB


def decode(data: bytes, clip: Clip, limits: Limits) -> Decoded:
    """Decode the first clip.max_s of a video file in this process. Raises VideoError for any file that is not whole."""
    pixels = bytearray()
    track = decode_file(io.BytesIO(data), clip, limits, pixels.extend)
    frames = np.frombuffer(pixels, np.uint8).reshape(-1, clip.height, clip.width, 3)
    return Decoded(frames_THWC=frames, **vars(track))


def decode_file(file: BinaryIO, clip: Clip, limits: Limits, emit: Emit) -> Track:
    """The same, handing each frame [H, W, 3] to `emit` as it is decoded: memory does not grow with the video."""
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        with open_container(file) as container:
            header = describe(container, size_bytes)
            check_limits(header, clip, limits)
            pictures = Pictures(video_stream(container), header, clip, limits, emit)
            sound = _sound(container, pictures.max_s)
            _read(container, pictures, sound)
            return _judged(pictures, sound)
    except MemoryError as error:
        raise VideoError(Reason.MEMORY, "decoding needs more than limits.decode_memory_gib") from error


def _sound(container: InputContainer, max_s: Fraction) -> Sound:
    stream = next(iter(container.streams.audio), None)
    return Sound(stream, max_s, None if stream is None else codec_without_decoder(container, stream))


def _read(container: InputContainer, pictures: Pictures, sound: Sound) -> None:
    """One pass, until both tracks have reached the clip's end. The other tracks say how far the file goes."""
    container.flags &= ~GEN_PTS  # AVI's guessed times are wrong where it holds B-frames
    timelines = Timelines(container)
    try:
        for packet in container.demux():
            timeline = timelines.of(packet)
            if packet.stream is pictures.stream:
                pictures.feed(packet, timeline)
            else:
                pictures.note_time(packet)
            if packet.stream is sound.stream:
                sound.feed(packet, timeline, pictures.end_s(timeline))
            if pictures.done and sound.done:
                return
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        pictures.damage = f"the file cannot be read further: {error.strerror}"


def _judged(pictures: Pictures, sound: Sound) -> Track:
    pictures.check()
    clock = pictures.clock
    audio = sound.clip(clock, Fraction(0), pictures.max_s)
    return Track(
        pts_ticks=np.array(clock.ticks, np.int64),
        time_base=clock.time_base,
        duration_s=clock.duration_s(),
        frames_declared=pictures.frames_declared,
        audio=audio,
        audio_error=sound.error.detail if sound.error else None,
        audio_reason=sound.error.reason if sound.error else None,
    )
