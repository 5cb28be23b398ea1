"""What a source looks like before it is a catalog: listed files, and the videos that a reader finds among them."""

import codecs
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from actionrec.errors import InputError

VIDEO_EXTENSIONS = frozenset(
    (".avi", ".mp4", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts", ".3gp", ".ogv")
)

# What people call the three splits, in lower case.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One listed file: its POSIX path below the source, spelt exactly as the storage spells it, and its size.

    None: the name is there, but no bytes are (a link to nowhere, a pipe).
    """

    relative_path: str
    bytes: int | None


class Video(NamedTuple):
    """One video as a reader found it. ``group`` None: no group is known; ``bytes`` None: named, but not there.

    ``path`` None: its features were imported, and where the video lies is not known. ``start_s`` and ``end_s``: the
    video is this segment of its file; both None: the whole file; ``end_s`` None: as far as it goes.
    """

    video_id: str
    path: str | None
    label: str | None
    group: str | None
    split: str | None
    bytes: int | None
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Draft:
    """What a reader returns. ``classes`` lists the labels in the order of their index; None: in sorted order."""

    videos: list[Video]
    warnings: list[str] = field(default_factory=list)
    classes: list[str] | None = None


def nfc(text: str) -> str:
    """The composed spelling: macOS stores decomposed names, which look the same and compare unequal."""
    return unicodedata.normalize("NFC", text)


def decoded(content: bytes, name: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one, as Excel saves it.

    Raises:
        InputError: it is neither; names the file and the line.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, errors="replace").count("\n") + 1
        raise InputError(f"{name}, line {line}: not UTF-8; save the file as UTF-8") from error


def below(folder: str) -> str:
    """The prefix that turns a path relative to ``folder`` (a path or a URL) into one that can be opened."""
    return folder.rstrip("/") + "/"


def by_id(files: Iterable[SourceFile]) -> dict[str, SourceFile]:
    """The files by video_id, the NFC form of the relative path.

    Raises:
        InputError: two files have the same id.
    """
    found: dict[str, SourceFile] = {}
    for file in files:
        twin = found.setdefault(nfc(file.relative_path), file)
        if twin is not file:
            raise InputError(
                f"the files {twin.relative_path!r} and {file.relative_path!r} have the same name "
                "once Unicode is normalised (NFC); rename or remove one of them"
            )
    return found


def videos_of(listing: Sequence[SourceFile], source: str) -> tuple[dict[str, SourceFile], list[str]]:
    """The videos of a source by video_id, told by extension, and the names of its other files; none that is hidden.

    Raises:
        InputError: there is no video, or two have the same id.
    """
    videos: list[SourceFile] = []
    others: list[str] = []
    for file in listing:
        if is_hidden(file.relative_path):
            continue
        if has_video_extension(file.relative_path):
            videos.append(file)
        else:
            others.append(file.relative_path)
    if not videos:
        raise InputError(
            f"{source} holds no videos ({len(others):,} other files); "
            "point data.source at a folder with files such as .avi, .mp4, .mov, .mkv or .webm"
        )
    return by_id(videos), sorted(others)


def left_out(names: Sequence[str], source: str) -> list[str]:
    """The warning about files that are no videos; empty if there are none."""
    if not names:
        return []
    return [f"{len(names):,} files of {source} are left out: no video by their extension; the first is {names[0]!r}"]


def stem(path: str) -> str:
    """The file's name without folders and extension."""
    return posixpath.splitext(posixpath.basename(path))[0]


def has_video_extension(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in VIDEO_EXTENSIONS


def is_hidden(relative_path: str) -> bool:
    """Hidden files and folders, and what macOS leaves in archives (``._name``, ``__MACOSX``)."""
    return any(part.startswith(".") or part == "__MACOSX" for part in relative_path.split("/"))
