"""What the readers of official split lists share: their lines, what they say of a video, and whose file it is."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from actionrec.catalog.source import SourceFile, stem
from actionrec.errors import InputError


class Listed(NamedTuple):
    """What a list says of a video. ``split`` None: it is listed, and on no side."""

    label: str
    split: str | None
    where: str


def lines(name: str, text: str) -> Iterator[tuple[str, str]]:
    """(where, content) of each line that is not blank."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{name}, line {number}", line.strip()


def add(listed: dict[str, Listed], key: str, path: str, entry: Listed) -> None:
    """Note what a line says; InputError where another line said something of the same video."""
    first = listed.setdefault(key, entry)
    if first is not entry:
        raise InputError(f"{entry.where}: {path!r} is listed already in {first.where}; remove one of the two lines")


def match(
    files: Mapping[str, SourceFile], listed: Mapping[str, Listed], key: Callable[[str], str]
) -> dict[str, Listed]:
    """The list's entry of each video that has one, by video_id; InputError where two files are one listed video."""
    owner: dict[str, str] = {}
    for video_id in files:
        name = key(video_id)
        if name in listed and owner.setdefault(name, video_id) != video_id:
            raise InputError(f"{owner[name]!r} and {video_id!r} are both the listed video {stem(video_id)}; remove one")
    return {video_id: listed[name] for name, video_id in owner.items()}
