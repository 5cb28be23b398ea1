"""Bytes -> what a file's header says, read without letting the file make us open another one.

A container is opened from memory only, by a short list of formats, and with every protocol switched off: a demuxer that
asks for another file, whatever its name, gets none.
"""

from __future__ import annotations  # av.Packet is generic in its stubs only

import io
import math
import re
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, BinaryIO, cast

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from actionrec.config import Clip, Limits
from actionrec.errors import Reason, VideoError
from actionrec.media import headers
from actionrec.media.index import frames_shown, length_shown_s

# Every container here keeps its pictures inside itself. Playlists (concat, hls, dash), sdp and image sequences do not.
FORMATS = "avi,mov,mp4,matroska,webm,mpeg,mpegts,flv,asf,ogg,gif"
LOCKS = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
PLAYLISTS = (b"ffconcat", b"#EXTM3U", b"v=0", b"[playlist]", b"[Reference]")
XML_PLAYLISTS = (b"<MPD", b"<SmoothStreamingMedia", b"<asx")
MAGIC = (  # (offset, bytes): such a file is one of FORMATS even where its header is damaged
    (0, b"RIFF"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (0, headers.MATROSKA),
    (0, b"\x00\x00\x01\xba"),  # mpeg
    (0, b"FLV"),
    (0, b"\x30\x26\xb2\x75"),  # asf
    (0, b"OggS"),
    (0, b"GIF8"),
)
HEAD_BYTES = 4096
GIB = 2**30


@dataclass(frozen=True)
class Probe:
    """A file's promises. None of them is trusted further than check_limits: decoding checks what it gets."""

    container: str  # FFmpeg's name
    codec: str
    width: int  # as coded, before any rotation; 0: unknown
    height: int
    rate: Fraction | None  # mean frames per second
    time_base: Fraction
    frames_declared: int  # 0: the container does not count
    duration_s: float | None
    has_audio: bool
    size_bytes: int
    track_end_s: float | None = None  # where the video track itself ends on the container's clock; None: not said
    is_cut: bool = False  # the file is shorter than its own outermost element (Matroska)


def probe(data: bytes) -> Probe:
    """Read the header. Raises VideoError: empty, format_refused, not_video, truncated, corrupt, no_frames,
    no_decoder, memory."""
    file = io.BytesIO(data)
    with open_container(file) as container:
        return describe(container, len(data))


def check_limits(probe: Probe, clip: Clip, limits: Limits) -> None:
    """Refuse a file for what its header promises. Raises VideoError(TOO_LARGE)."""
    frames = frames_in_clip(probe, clip)
    assumed = frames or _frames_at_rate(probe, clip, limits)
    for name, value, limit in (
        ("file_gib", probe.size_bytes / GIB, limits.file_gib),
        ("frame_megapixels", probe.width * probe.height / 1e6, limits.frame_megapixels),
        ("frames", frames, limits.frames),
        ("raw_gib", probe.width * probe.height * 3 * assumed / GIB, limits.raw_gib),
    ):
        if value > limit:
            raise VideoError(Reason.TOO_LARGE, f"the header promises {value:.6g}, over limits.{name} = {limit:.6g}")


def part_of(probe: Probe, begin_s: float, end_s: float | None) -> Probe:
    """What the header promises of a segment, at its mean rate."""
    if not probe.duration_s:
        return replace(probe, frames_declared=0, duration_s=None if end_s is None else end_s - begin_s)
    length_s = max(min(probe.duration_s if end_s is None else end_s, probe.duration_s) - begin_s, 0.0)
    frames = math.ceil(probe.frames_declared * length_s / probe.duration_s)
    return replace(probe, frames_declared=frames, duration_s=length_s)


def frames_in_clip(probe: Probe, clip: Clip) -> int:
    """Frames that the container counts within the first clip.max_s, at its mean rate; 0 where it does not count."""
    if not probe.duration_s or probe.duration_s <= clip.max_s:
        return probe.frames_declared
    return math.ceil(probe.frames_declared * clip.max_s / probe.duration_s)


def _frames_at_rate(probe: Probe, clip: Clip, limits: Limits) -> int:
    """A guess where nothing is counted. Headers name absurd rates, hence the cap: decoding stops at it anyway."""
    seconds = clip.max_s if probe.duration_s is None else min(probe.duration_s, clip.max_s)
    return min(math.ceil(seconds * (probe.rate or 0)), limits.frames)


def open_container(file: BinaryIO) -> InputContainer:
    """Open a whole file held in memory. Raises VideoError as `probe` does."""
    head = file.read(HEAD_BYTES)
    if not head:
        raise VideoError(Reason.EMPTY, "the file has zero bytes")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(PLAYLISTS) or any(mark in head for mark in XML_PLAYLISTS):
        raise VideoError(Reason.FORMAT_REFUSED, "the file is a playlist, which can open other files")
    file.seek(0)
    try:
        return av.open(file, "r", options=LOCKS, metadata_errors="replace")
    except MemoryError as error:
        raise VideoError(Reason.MEMORY, "the header alone needs more than limits.decode_memory_gib") from error
    except av.error.FFmpegError as error:
        raise _unopened(file, head, error) from error


def _unopened(file: BinaryIO, head: bytes, error: av.error.FFmpegError) -> VideoError:
    if not any(head.startswith(magic, offset) for offset, magic in MAGIC):
        return VideoError(Reason.NOT_VIDEO, f"no accepted container begins like this (accepted: {FORMATS})")
    if head[4:8] in (b"ftyp", b"mdat", b"moov") and _lacks_index(file):
        return VideoError(Reason.TRUNCATED, "the file ends before its index (moov) does")
    return VideoError(Reason.CORRUPT, f"the header cannot be read: {error.strerror}")


def _lacks_index(file: BinaryIO) -> bool:
    """Whether an ISO file's chain of boxes ends before a whole `moov`, as when a copy or a recording broke off."""
    end = file.seek(0, io.SEEK_END)
    at = 0
    while at + 16 <= end:
        file.seek(at)
        length, kind, long_length = struct.unpack(">I4sQ", file.read(16))
        length = long_length if length == 1 else length
        if kind == b"moov":
            return bool(at + length > end)
        if length < 8:  # 0: to the end of the file
            return True
        at += length
    return True


def video_stream(container: InputContainer) -> VideoStream:
    """The first moving picture (not a cover image). Raises VideoError: no_frames, no_decoder."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if codec := codec_without_decoder(container, stream):
                raise VideoError(Reason.NO_DECODER, f"no decoder knows its video codec {codec}; convert the file")
            return stream
    raise VideoError(Reason.NO_FRAMES, f"the {container.format.name} file has no video track")


def describe(container: InputContainer, size_bytes: int) -> Probe:
    """The header of an open container. Raises VideoError: no_frames, no_decoder."""
    stream = video_stream(container)
    if stream.time_base is None:
        raise VideoError(Reason.CORRUPT, "the video track has no time base")
    return Probe(
        container=container.format.name,
        codec=stream.codec_context.name,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        rate=stream.average_rate or stream.base_rate or None,
        time_base=stream.time_base,
        frames_declared=frames_shown(stream),
        duration_s=_duration_s(container, stream),
        has_audio=bool(container.streams.audio),
        size_bytes=size_bytes,
        track_end_s=_tagged_end_s(stream),
        is_cut=headers.ends_before_its_segment(_head(container), size_bytes),
    )


def codec_without_decoder(container: InputContainer, stream: Stream) -> str | None:
    """FFmpeg's name of a track's codec, or the file's own mark of it, in quotes; None where there is a decoder.
    PyAV tells it in a dump of the container only, and that only while it logs."""
    if cast(Any, stream).codec_context is not None:  # the stubs know of no track without one
        return None
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        dump = cast(Any, container).dumps_format()
    finally:
        av.logging.set_level(level)
    found = re.search(rf"Stream #0:{stream.index}\b.*?: (?:Audio|Video): (\w+)(?: \((?:(\S+) / )?)?", dump)
    name, mark = found.groups() if found else ("none", None)
    if name == "none" and not mark:  # of Matroska it forgets the name
        same_kind = [each for each in container.streams if each.type == stream.type]
        marks = headers.matroska_codecs(_head(container), stream.type)
        mark = marks[same_kind.index(stream)] if len(marks) == len(same_kind) else "unknown"
    return repr(mark if name == "none" else name)


def _tagged_end_s(stream: VideoStream) -> float | None:
    """Matroska's length of each track, which most of its writers put into a tag: hours, minutes, seconds."""
    if "matroska" not in stream.container.format.name:  # a comment like any other, copied from who knows where
        return None
    found = re.fullmatch(r"(\d{1,3}):(\d\d):(\d\d(?:\.\d*)?)", stream.metadata.get("DURATION", ""))
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if container.format.name == "asf":
        head = _head(container, headers.asf_header_bytes(_head(container)))
        if headers.ASF_PROPERTIES in head:
            return headers.asf_length_s(head)
    if stream.duration and stream.time_base:
        length_s = float(stream.duration * stream.time_base)
        return min(length_s, length_shown_s(stream) or length_s)
    return container.duration / av.time_base if container.duration else None


def _head(container: InputContainer, size_bytes: int = HEAD_BYTES) -> bytes:
    file: BinaryIO = cast(Any, container).file.file
    at = file.tell()  # FFmpeg reads on from here
    file.seek(0)
    head = file.read(size_bytes)
    file.seek(at)
    return head
