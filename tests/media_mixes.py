"""Whole files that look broken: tracks of unequal length, recordings laid end to end, cuts by stream copy.

Every picture is 64x48 at 25 fps and every sound mono at 16 kHz unless the function says otherwise.
"""

import functools
import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from actionrec.media.encode import encode
from tests.media_files import RATE, moving, repeated

Edit = Callable[[Any], bool]  # changes a packet; whether it is kept


def copied(container: str, *parts: bytes, edit: Edit = lambda packet: True, **options: str) -> bytes:
    """All tracks of all parts side by side in one file, packet by packet, in the order of their decoding times."""
    sink = io.BytesIO()
    sources = [av.open(io.BytesIO(part)) for part in parts]
    with av.open(sink, "w", format=container, options=options) as output:
        packets = []
        for source in sources:
            tracks = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
            for video in source.streams.video if container == "avi" else ():
                tracks[video.index].time_base = 1 / RATE  # it stores one picture a tick
            packets += [(packet, tracks[packet.stream.index]) for packet in source.demux() if packet.dts is not None]
        for packet, track in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            if edit(packet):
                packet.stream = track
                output.mux(packet)
    return sink.getvalue()


def later(data: bytes, seconds: float | Fraction) -> bytes:
    """The same transport stream with all its times moved, modulo the 33 bits that it stores."""

    def move(packet: Any) -> bool:
        ticks = round(Fraction(seconds) / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return True

    return copied("mpegts", data, edit=move, mpegts_copyts="1")


@functools.cache
def pictures(seconds: int, container: str = "mp4", codec: str = "libx264") -> bytes:
    options = {"g": "12"}
    return encode(container, moving(25 * seconds, 48, 64), RATE, video_codec=codec, video_options=options)


@functools.cache
def sound(seconds: int, codec: str = "aac") -> bytes:
    """A sound track and nothing else."""
    both = encode("matroska", moving(1, 48, 64), RATE, audio=clicks(seconds), audio_codec=codec)
    sink = io.BytesIO()
    with av.open(io.BytesIO(both)) as source, av.open(sink, "w", format="matroska") as output:
        track = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                output.mux(packet)
    return sink.getvalue()


def with_subtitle(data: bytes, seconds: int) -> bytes:
    """The same tracks and one line of text, from the beginning on, that stands for so many seconds."""
    sink = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(sink, "w", format="matroska") as output:
        tracks = [output.add_stream_from_template(stream) for stream in source.streams]
        text = output.add_mux_stream("subrip")
        line = av.Packet(b"Good morning.")
        line.stream, line.time_base, line.pts, line.dts = text, Fraction(1, 1000), 0, 0
        line.duration = 1000 * seconds
        for packet in [*source.demux(), line]:
            if packet is line or packet.dts is not None:
                packet.stream = text if packet is line else tracks[packet.stream.index]
                output.mux(packet)
    return sink.getvalue()


def untagged(matroska: bytes) -> bytes:
    """As from a writer that leaves the length of each track unsaid."""
    return matroska.replace(b"DURATION", b"DURATIOX")


def clicks(seconds: float) -> NDArray[np.float32]:
    """[S]: 20 ms in the middle of every second."""
    samples, length = np.zeros(round(seconds * 16_000), np.float32), 320
    for at in range(8000, len(samples) - length, 16_000):
        samples[at : at + length] = 0.8 * np.hanning(length) * np.sin(np.arange(length) * np.pi / 8)
    return samples


def click_times_s(audio: NDArray[np.float32]) -> list[float]:
    """When the clicks of an [S] sound begin."""
    energy = np.convolve(audio**2, np.ones(320), "valid")
    peaks, at = [], 0
    for at in np.flatnonzero(energy > 1):
        if not peaks or at > peaks[-1] + 3200:
            peaks.append(int(at + energy[at : at + 640].argmax()))
    return [peak / 16_000 for peak in peaks]


@functools.cache
def recording(seconds: float = 4, container: str = "mpegts", with_sound: bool = True) -> bytes:
    """Pictures, and clicks in the middle of every second; its clock starts where every recording's does."""
    mpeg = container == "mpeg"
    return encode(
        container,
        moving(round(25 * seconds), 48, 64),
        RATE,
        video_codec="mpeg2video" if mpeg else "libx264",
        audio=clicks(seconds) if with_sound else None,
        audio_codec="mp2" if mpeg else "aac",
        video_options={"g": "12"},
    )


OPEN_GROUPS = {
    "libx264": {"x264-params": "open-gop=1:keyint=24:min-keyint=24:bframes=3:b-adapt=0:scenecut=0"},
    "libx265": {"x265-params": "open-gop=1:keyint=24:min-keyint=24:bframes=3:b-adapt=0:scenecut=0:log-level=none"},
    "mpeg2video": {"g": "12", "bf": "2"},
    "mpeg4": {"g": "12", "bf": "2"},
}


@functools.cache
def cut_in_an_open_group(container: str, codec: str) -> tuple[bytes, int, int]:
    """100 frames, cut by stream copy before the second key frame and with no edit list: the file, how many packets it
    holds, and how many of them are shown before its first key frame."""
    source = "mpegts" if container == "mpegts" else "matroska"
    whole = encode(source, moving(100, 48, 64), RATE, video_codec=codec, video_options=OPEN_GROUPS[codec])
    kept: list[Any] = []

    def cut(packet: Any) -> bool:
        state["keys"] += packet.is_keyframe
        if state["keys"] < 2:
            return False
        if not kept:
            state["start"] = packet.dts
        packet.pts, packet.dts = packet.pts - state["start"], packet.dts - state["start"]
        kept.append(packet.pts)
        return True

    state = {"keys": 0, "start": 0}
    data = copied(container, whole, edit=cut, **({"use_editlist": "0"} if container == "mp4" else {}))
    return data, len(kept), sum(pts < kept[0] for pts in kept)


@functools.cache
def edit_list(seconds_stored: int, seconds_shown: int) -> bytes:
    """An MP4 whose edit list shows only the first seconds of what is stored. 16 x 16."""
    data = bytearray(repeated(16, 25 * seconds_stored, 25))
    at = data.index(b"elst") + 12
    data[at : at + 4] = (1000 * seconds_shown).to_bytes(4, "big")  # in the movie's time scale
    return bytes(data)


def edited(mp4: bytes, *edits: tuple[int, float | None]) -> bytes:
    """The same pictures, alone in an MP4 whose index comes last, under another edit list: (milliseconds shown, from
    which second of the track on; None: nothing is shown)."""
    at = mp4.index(b"elst") - 4
    (first,) = struct.unpack_from(">i", mp4, at + 20)
    with av.open(io.BytesIO(mp4)) as source:
        ticks_per_s = round(1 / source.streams.video[0].time_base)
    rows = b"".join(
        struct.pack(">IiI", shown_ms, -1 if at_s is None else round(at_s * ticks_per_s) + first, 1 << 16)
        for shown_ms, at_s in edits
    )
    old_bytes = int.from_bytes(mp4[at : at + 4], "big")
    new = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    data = bytearray(mp4[:at] + new + mp4[at + old_bytes :])
    for box in (b"moov", b"trak", b"edts"):
        place = data.index(box) - 4
        length = int.from_bytes(data[place : place + 4], "big") + len(new) - old_bytes
        data[place : place + 4] = length.to_bytes(4, "big")
    return bytes(data)


@functools.cache
def unknown_sound() -> bytes:
    """Good pictures; no decoder knows the codec of the sound."""
    whole = encode("matroska", moving(25), RATE, audio=clicks(1), audio_codec="flac")
    return whole.replace(b"A_FLAC", b"A_WXYZ")


@functools.cache
def unknown_pictures() -> bytes:
    return pictures(1, "matroska").replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC")


@functools.cache
def longer_sound() -> bytes:
    """1 s of pictures beside 3 s of sound."""
    return copied("matroska", pictures(1), sound(3))
