"""Arrays -> the bytes of an encoded video: what the synthetic data set and the tests' own media are made with.

Equal input gives equal bytes: one thread per codec, and no clock, version or host in the container's metadata.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

import itertools
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

UNTIMED = frozenset({"avi"})  # stores no times: display order must be decoding order, and every track begins at 0


def encode(
    container: str,
    frames_THWC: NDArray[np.uint8],
    rate: Fraction,
    *,
    video_codec: str = "libx264",
    audio: NDArray[np.float32] | None = None,
    audio_rate_hz: int = 16000,
    audio_codec: str = "aac",
    pixel_format: str = "yuv420p",
    video_options: dict[str, str] | None = None,
) -> bytes:
    """One video file of constant frame rate.

    container: FFmpeg's name of a format ("mp4", "avi", "matroska"); codecs: FFmpeg's names of encoders.
    frames_THWC: uint8 [T, H, W, 3] RGB; rate: frames per second. libx264 takes odd sizes as "yuv444p" only.
    audio: float32 [S >= 1] mono in -1..1 at audio_rate_hz, or None for a file with no audio track.
    video_options: the encoder's own options (e.g. {"crf": "30"}).
    Raises ValueError for arrays of another shape or dtype, av.error.FFmpegError for what FFmpeg refuses.
    """
    _check(frames_THWC, audio)
    sink = BytesIO()
    with av.open(sink, "w", format=container, container_options={"fflags": "bitexact"}) as output:
        video = _video_stream(output, frames_THWC, rate, video_codec, pixel_format, video_options or {})
        if container in UNTIMED:
            video.codec_context.max_b_frames = 0
        packets: list[Packet[Any]] = list(_video_packets(video, frames_THWC))
        if audio is not None:
            sound = cast(AudioStream, output.add_stream(audio_codec, rate=audio_rate_hz, layout="mono"))
            sound.codec_context.thread_count = 1
            packets += _audio_packets(sound, audio, from_zero=container in UNTIMED)
        for packet in sorted(packets, key=_decoding_time_s):  # or a long clip's sound would lie after its pictures
            output.mux(packet)
    return sink.getvalue()


def _check(frames_THWC: NDArray[np.uint8], audio: NDArray[np.float32] | None) -> None:
    if frames_THWC.ndim != 4 or frames_THWC.shape[3] != 3 or frames_THWC.dtype != np.uint8 or not frames_THWC.size:
        raise ValueError(f"frames must be uint8 [T, H, W, 3], not {frames_THWC.dtype} {frames_THWC.shape}")
    if audio is not None and (audio.ndim != 1 or audio.dtype != np.float32 or not audio.size):
        raise ValueError(f"audio must be float32 [S >= 1], not {audio.dtype} {audio.shape}")


def _video_stream(
    output: OutputContainer,
    frames_THWC: NDArray[np.uint8],
    rate: Fraction,
    codec: str,
    pixel_format: str,
    options: dict[str, str],
) -> VideoStream:
    stream = cast(VideoStream, output.add_stream(codec, rate=rate, options=options))
    stream.height, stream.width = frames_THWC.shape[1:3]
    stream.pix_fmt = pixel_format
    stream.codec_context.thread_count = 1  # x264 cuts a picture differently for every number of threads
    return stream


def _video_packets(stream: VideoStream, frames_THWC: NDArray[np.uint8]) -> Iterator[Packet[VideoStream]]:
    for index, frame_HWC in enumerate(frames_THWC):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts = index
        frame.time_base = 1 / Fraction(stream.codec_context.framerate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(
    stream: AudioStream, audio: NDArray[np.float32], *, from_zero: bool
) -> Iterator[Packet[AudioStream]]:
    """from_zero: shift away the encoder's delay, which lies before 0 (else AVI pads the pictures with empty ones)."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio)[None], format="fltp", layout="mono")
    frame.sample_rate = stream.codec_context.sample_rate
    frame.time_base = Fraction(1, frame.sample_rate)
    frame.pts = 0
    delay = 0
    for packet in itertools.chain(stream.encode(frame), stream.encode(None)):
        assert packet.pts is not None and packet.dts is not None  # every encoder sets both
        delay = delay or (-packet.pts if from_zero else 0)
        packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
        yield packet


def _decoding_time_s(packet: Packet[Any]) -> Fraction:
    assert packet.dts is not None and packet.time_base is not None  # every encoder sets both
    return packet.dts * packet.time_base
