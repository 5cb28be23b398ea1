"""Odd and broken media as bytes, made here so that no test needs a file: one function, one kind of trouble.

Every picture is 320x240 at 25 fps and every sound mono at 16 kHz unless the function's name says otherwise.
"""

import functools
import io
import random
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionrec.media.encode import encode

RATE = Fraction(25)
NTSC = Fraction(30000, 1001)
CORNERS_RGB = {
    "top_left": (255, 0, 0),
    "top_right": (0, 255, 0),
    "bottom_left": (0, 0, 255),
    "bottom_right": (255,) * 3,
}


def moving(count: int, height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    """[T, H, W, 3]: a square that falls over a drifting pattern, so that every frame has something to code."""
    y, x = np.mgrid[:height, :width]
    frames = np.empty((count, height, width, 3), np.uint8)
    for k in range(count):
        frames[k] = (96 + 60 * np.sin((x + 3 * k) / 9) + 60 * np.cos((y + k) / 7))[..., None].astype(np.uint8)
        top = (5 * k) % (height - 40)
        frames[k, top : top + 40, 40:80] = (255, 5 * k % 256, 0)
    return frames


def corners(count: int, height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    """[T, H, W, 3]: four quarters of CORNERS_RGB."""
    frame = np.empty((height, width, 3), np.uint8)
    half_y, half_x = height // 2, width // 2
    frame[:half_y, :half_x], frame[:half_y, half_x:] = CORNERS_RGB["top_left"], CORNERS_RGB["top_right"]
    frame[half_y:, :half_x], frame[half_y:, half_x:] = CORNERS_RGB["bottom_left"], CORNERS_RGB["bottom_right"]
    return np.repeat(frame[None], count, axis=0)


def tone(seconds: float, rate_hz: int = 16_000, amplitude: float = 0.25) -> NDArray[np.float32]:
    """[S]: 440 Hz."""
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def with_ticks(
    frames_THWC: NDArray[np.uint8], ticks: Sequence[int], container: str = "mp4", key_every: int = 250, **display: Any
) -> bytes:
    """Each frame shown at its tick of 1/1000 s, and coded in that order, as AVI knows no other.

    display: arguments of set_display_rotation.
    """
    sink = io.BytesIO()
    with av.open(sink, "w", format=container) as output:
        stream = cast(VideoStream, output.add_stream("libx264", rate=RATE, options={"bf": "0", "g": str(key_every)}))
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if display:
            stream.set_display_rotation(**display)
        for frame_HWC, tick in zip(frames_THWC, ticks, strict=True):
            frame = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return sink.getvalue()


def repeated(size: int, count: int, rate: int, container: str = "mp4") -> bytes:
    """One black key frame of size x size, `count` times: a bomb that costs nothing to make."""
    sink = io.BytesIO()
    with av.open(sink, "w", format=container) as output:
        stream = cast(VideoStream, output.add_stream("libx264", rate=rate, options={"preset": "ultrafast"}))
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        black = av.VideoFrame(size, size, "gray")
        black.planes[0].update(bytes(black.planes[0].buffer_size))
        packets = [*stream.encode(black.reformat(format="yuv420p")), *stream.encode(None)]
        for k in range(count):
            packet = av.Packet(bytes(packets[0]))
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, rate), True
            packet.pts = packet.dts = k
            output.mux(packet)
    return sink.getvalue()


def flipped(data: bytes, begin: float, end: float, count: int = 8) -> bytes:
    """The same file with `count` bytes inverted between two shares of its length."""
    damaged = bytearray(data)
    for at in random.Random(0).sample(range(int(begin * len(data)), int(end * len(data))), count):
        damaged[at] ^= 255
    return bytes(damaged)


@functools.cache
def good_mp4() -> bytes:
    """2 s, H.264 with B-frames and AAC."""
    return encode("mp4", moving(50), RATE, audio=tone(2))


@functools.cache
def good_avi() -> bytes:
    """2 s, MPEG-4 and MP3, as UCF101 has them."""
    return encode("avi", moving(50), RATE, video_codec="mpeg4", audio=tone(2), audio_codec="libmp3lame")


@functools.cache
def no_audio() -> bytes:
    return encode("mp4", moving(50), RATE)


def zero_bytes() -> bytes:
    return b""


def text() -> bytes:
    return b"This is not a video.\n" * 200


@functools.cache
def no_frames() -> bytes:
    """An MP4 with a sound track only."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(1)[None], "fltp", "mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return sink.getvalue()


@functools.cache
def truncated_avi() -> bytes:
    """The first half of a file: its header still counts 50 frames."""
    whole = encode("avi", moving(50), RATE, video_codec="mpeg4", video_options={"g": "5"})
    return whole[: len(whole) // 2]


@functools.cache
def truncated_mp4() -> bytes:
    """The first half of a file whose index lies at its end."""
    return good_mp4()[: len(good_mp4()) // 2]


@functools.cache
def flipped_avi() -> bytes:
    whole = encode("avi", moving(50), RATE, video_codec="mpeg4", video_options={"g": "5"})
    return flipped(whole, 0.4, 0.6)


@functools.cache
def flipped_mp4() -> bytes:
    return flipped(encode("mp4", moving(50), RATE, video_options={"g": "5"}), 0.4, 0.6)


@functools.cache
def one_frame() -> bytes:
    return encode("avi", moving(1), RATE, video_codec="mpeg4")


VARIABLE_MS = (0, 40, 80, 120, 500, 540, 1000, 1001, 1020, 1900)


@functools.cache
def variable_rate() -> bytes:
    """Ten frames at VARIABLE_MS."""
    return with_ticks(moving(10), VARIABLE_MS)


@functools.cache
def rotated(degrees: int) -> bytes:
    """`corners`, coded so that a player which obeys the display matrix (turn by `degrees` anticlockwise) shows them."""
    return with_ticks(np.rot90(corners(10), -degrees // 90, axes=(1, 2)).copy(), range(0, 400, 40), degrees=degrees)


@functools.cache
def mirrored() -> bytes:
    """`corners`, coded mirrored left to right with the display matrix that undoes it."""
    return with_ticks(corners(10)[:, :, ::-1].copy(), range(0, 400, 40), degrees=0, hflip=True)


@functools.cache
def turned_by_exif() -> bytes:
    """`corners` as JPEG pictures, coded so that their EXIF orientation (6: turn clockwise) shows them."""
    turned = encode("avi", np.rot90(corners(5), 1, axes=(1, 2)), RATE, video_codec="mjpeg", pixel_format="yuvj420p")
    body = b"Exif\0\0II*\0" + struct.pack("<IHHHIIxxxx", 8, 1, 0x112, 3, 1, 6)
    sink = io.BytesIO()
    with av.open(io.BytesIO(turned)) as pictures, av.open(sink, "w", format="matroska") as output:
        stream = output.add_stream_from_template(pictures.streams.video[0])
        for number, packet in enumerate(packet for packet in pictures.demux() if packet.size):
            jpeg = bytes(packet)
            tagged = av.Packet(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:])
            tagged.stream, tagged.time_base, tagged.is_keyframe = stream, 1 / RATE, True
            tagged.pts = tagged.dts = number
            output.mux(tagged)
    return sink.getvalue()


@functools.cache
def odd_size() -> bytes:
    """321 x 243."""
    return encode("mp4", moving(25, 243, 321), RATE, pixel_format="yuv444p")


@functools.cache
def ten_bit() -> bytes:
    return encode("mp4", moving(25), RATE, pixel_format="yuv420p10le")


@functools.cache
def gray() -> bytes:
    return encode("mp4", moving(25), RATE, pixel_format="gray")


@functools.cache
def interlaced() -> bytes:
    return encode("mpegts", moving(25), RATE, video_codec="mpeg2video", video_options={"flags": "+ilme+ildct"})


@functools.cache
def av1() -> bytes:
    return encode("mp4", moving(25), RATE, video_codec="libsvtav1", video_options={"preset": "12"})


@functools.cache
def hevc() -> bytes:
    return encode("mp4", moving(25), RATE, video_codec="libx265", video_options={"preset": "ultrafast"})


@functools.cache
def ntsc() -> bytes:
    """50 frames at 30000/1001 a second."""
    return encode("mp4", moving(50), NTSC)


@functools.cache
def audio_8_khz() -> bytes:
    return encode("mp4", moving(50), RATE, audio=tone(2, 8000), audio_rate_hz=8000)


@functools.cache
def audio_44_khz_avi() -> bytes:
    return encode(
        "avi",
        moving(50),
        RATE,
        video_codec="mpeg4",
        audio=tone(2, 44_100),
        audio_rate_hz=44_100,
        audio_codec="pcm_s16le",
    )


@functools.cache
def audio_surround() -> bytes:
    """5.1 at 48 kHz, the tone in all six channels."""
    sink = io.BytesIO()
    with av.open(io.BytesIO(no_audio())) as pictures, av.open(sink, "w", format="matroska") as output:
        video = output.add_stream_from_template(pictures.streams.video[0])
        sound = output.add_stream("pcm_s16le", rate=48_000, layout="5.1")
        for packet in pictures.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)
        samples = (np.repeat(tone(2, 48_000), 6) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "5.1")
        frame.sample_rate = 48_000
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return sink.getvalue()


@functools.cache
def audio_short() -> bytes:
    """0.3 s of sound beside 2 s of pictures."""
    return encode("matroska", moving(50), RATE, audio=tone(0.3), audio_codec="pcm_s16le")


@functools.cache
def silent() -> bytes:
    return encode("mp4", moving(50), RATE, audio=np.zeros(32_000, np.float32))


@functools.cache
def broken_audio() -> bytes:
    """Good pictures; every FLAC frame of the sound fails its checksum."""
    data = bytearray(encode("matroska", moving(50), RATE, audio=tone(2), audio_codec="flac"))
    with av.open(io.BytesIO(bytes(data))) as container:
        bodies = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    for body in bodies:
        at = data.index(body) + len(body) // 2
        data[at : at + 8] = bytes(255 - value for value in data[at : at + 8])
    return bytes(data)


def ffconcat(neighbour: str) -> bytes:
    """A playlist that plays the file `neighbour` of its own folder."""
    return f"ffconcat version 1.0\nfile {neighbour}\n".encode()


def m3u8(neighbour: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{neighbour}\n#EXT-X-ENDLIST\n".encode()


@functools.cache
def huge_pictures() -> bytes:
    """20 frames of 8192 x 8192: 3.8 GB once decoded."""
    return repeated(8192, 20, 25)


@functools.cache
def many_frames() -> bytes:
    """5000 frames within 20 s, and the header says so."""
    return repeated(16, 5000, 250)


@functools.cache
def uncounted_frames() -> bytes:
    """300 frames in a container that counts none."""
    return repeated(16, 300, 100, "matroska")
