"""What FFmpeg does not pass on of a file's header, read from its first bytes."""

import re
import struct

MATROSKA = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
LONGEST_ASF_HEADER_BYTES = 2**24
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def asf_header_bytes(head: bytes) -> int:
    """How long an ASF header says it is, within reason: pictures may stand in it before what is looked for."""
    return min(int.from_bytes(head[16:24], "little"), LONGEST_ASF_HEADER_BYTES)


def asf_length_s(head: bytes) -> float | None:
    """What an ASF header says of all its tracks. FFmpeg believes it only where the file is as long as it should be."""
    at = head.find(ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    length_100ns, _, preroll_ms, flags = struct.unpack_from("<QQQI", head, at + 64)
    is_live = flags & 1  # nobody knew the length when the header was written
    return None if is_live else max(length_100ns / 1e7 - preroll_ms / 1e3, 0.0) or None  # or it was never filled in


def matroska_codecs(head: bytes, kind: str) -> list[str]:
    """The CodecID of every track of a kind (audio, video), in the file's order."""
    prefix = kind[:1].upper().encode()
    return [mark.decode() for mark in re.findall(rb"\x86[\x81-\xff](%s_[A-Z0-9/_.]+)" % prefix, head)]


def ends_before_its_segment(head: bytes, size_bytes: int) -> bool:
    """Whether a Matroska file is shorter than its one Segment says, which follows the EBML header."""
    if not head.startswith(MATROSKA):
        return False
    at, length = _element(head, len(MATROSKA))
    at += length
    if not head.startswith(MATROSKA_SEGMENT, at):
        return False
    begin, length = _element(head, at + len(MATROSKA_SEGMENT))
    return begin + length > size_bytes


def _element(head: bytes, at: int) -> tuple[int, int]:
    """Where the body of a Matroska element begins, and its length, which is stored at `at`; 0 where nobody knew it."""
    width = 9 - head[at : at + 1].rjust(1, b"\xff")[0].bit_length()
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(head[at : at + width], "big") & unknown
    return at + width, 0 if length == unknown else length
