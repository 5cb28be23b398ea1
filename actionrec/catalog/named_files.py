"""What a row of a CSV names: the listing decides, and nothing is named that could lead out of its folder."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from actionrec.catalog.source import SPLIT_NAMES, SourceFile, by_id, has_video_extension, nfc, stem
from actionrec.errors import InputError

# http://, file:, C:\ and ffmpeg's concat:, subfile,,...: what begins so is meant for another program than this one.
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(:|,,)")


class Named(NamedTuple):
    """A file that a row names: its id, its path below the CSV's folder, its size, or None where it is not there."""

    file_id: str
    relative_path: str
    bytes: int | None


class NamedFiles:
    """The files below a CSV's folder, found by what people write for them."""

    def __init__(self, listing: Sequence[SourceFile]) -> None:
        """InputError: two files have the same id."""
        self.by_id = by_id(listing)

    def is_listed(self, path: str) -> bool:
        return any(nfc(spelling) in self.by_id for spelling in _spellings(path))

    def find(self, path: str, where: str) -> Named:
        """The file of a path: as it stands, without needless dots, slashes and blanks, or with Windows' backslashes.

        A listed name may look like anything, for it is only ever a name below the folder.

        Raises:
            InputError: the path is empty, leads out of the folder, or is not listed and looks like a URL.
        """
        for spelling in _spellings(path):  # the last one stands where none is listed
            if file := self.by_id.get(nfc(spelling)):
                break
        if spelling == "." or not path.strip():
            raise InputError(f"{where}: the path is empty; name a file or remove the line")
        if "\0" in path:
            raise InputError(f"{where}: the path {path!r} contains a NUL, which no file name can")
        leads_out = spelling.startswith("/") or ".." in re.split(r"[/\\]", spelling)
        if leads_out or (file is None and _PROTOCOL.match(spelling)):
            raise InputError(
                f"{where}: the path {path!r} leads out of the CSV's folder or looks like a URL; "
                "name files below that folder, relative to it"
            )
        return self._named(file, spelling)

    def find_stem(self, name: str, folders: Sequence[str], where: str) -> Named | None:
        """The video called `name` in any folder and with any extension; of several the one that most of `folders` hold.

        Raises:
            InputError: there are several, and the folders do not tell which is meant.
        """
        files = self._by_stem.get(name, [])
        if len(files) > 1:
            wanted = {_folder_name(folder) for folder in folders if folder}
            hits = [len(wanted.intersection(map(_folder_name, _folders(file)))) for file in files]
            files = [file for file, count in zip(files, hits, strict=True) if count == max(hits)]
        if len(files) > 1:
            one, other = (file.relative_path for file in files[:2])
            raise InputError(f"{where}: {one!r} and {other!r} are both the video {name!r}; remove one of them")
        return self._named(files[0], name) if files else None

    def _named(self, file: SourceFile | None, name: str) -> Named:
        if file is None:
            return Named(nfc(name), name, None)
        return Named(nfc(file.relative_path), file.relative_path, file.bytes)

    @cached_property
    def _by_stem(self) -> dict[str, list[SourceFile]]:
        found: dict[str, list[SourceFile]] = {}
        for file in self.by_id.values():
            if has_video_extension(file.relative_path):
                found.setdefault(stem(file.relative_path), []).append(file)
        return found


def _spellings(path: str) -> Iterator[str]:
    """The ways to read a path, the plainest first."""
    yield path
    for each in (path, path.strip(), path.strip().replace("\\", "/")):
        yield str(PurePosixPath(each))


def _folders(file: SourceFile) -> list[str]:
    return posixpath.dirname(file.relative_path).split("/")


def _folder_name(name: str) -> str:
    """A class or split as any downloader spells it: `air drumming` lies in air_drumming, `validate` in val."""
    folder = name.strip().casefold().replace(" ", "_")
    return SPLIT_NAMES.get(folder, folder)
