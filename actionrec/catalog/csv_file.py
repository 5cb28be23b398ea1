"""A CSV that names its videos: path,label[,group][,split], paths relative to the CSV."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from actionrec.catalog.source import Draft, SourceFile, Video, by_id, decoded, nfc
from actionrec.errors import InputError
from actionrec.schema import SPLITS

COLUMNS = ("path", "label", "group", "split")
# http://, file:, C:\ and ffmpeg's concat:, subfile,,...: a name that begins so can open something else.
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(:|,,)")


def read_csv(listing: Sequence[SourceFile], content: bytes, source: str) -> Draft:
    """The videos named by the CSV at ``source``; ``listing`` is the CSV's own folder.

    A file that is named but not listed keeps its row with ``bytes`` None, so that extraction reports it as missing.

    Raises:
        InputError: naming the CSV and the line: not UTF-8, no path column, a row of another width, an empty, repeated
            or outward path, a split that is not train, val or test, or given for some rows only; no rows.
    """
    records = _records(content, source)
    columns, warnings = _header(next(records, (1, [])), source)
    on_disk = by_id(listing)
    folder = source[: source.rfind("/") + 1] or "./"  # a bare name could begin with ~ or a protocol
    lines: dict[str, int] = {}
    videos: list[Video] = []
    for line, cells in records:
        video = _video(_named(cells, columns, f"{source}, line {line}"), on_disk, folder, f"{source}, line {line}")
        first = lines.setdefault(video.video_id, line)
        if first != line:
            raise InputError(f"{source}, lines {first} and {line}: both name {video.video_id!r}; remove one of them")
        videos.append(video)
    if not videos:
        raise InputError(f"{source} names no videos; write one line a video below the header path,label,group,split")
    _check_splits(videos, lines, source)
    return Draft(videos, warnings + _missing(videos, lines, on_disk, source))


def _records(content: bytes, source: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it begins on; blank lines are skipped."""
    reader = csv.reader(io.StringIO(decoded(content, source), newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source}, line {line}: {error}; check the quotes of this record") from error


def _header(record: tuple[int, list[str]], source: str) -> tuple[list[str], list[str]]:
    """The columns' names in lower case, and a warning about those that are not read."""
    line, cells = record
    columns = [cell.strip().lower() for cell in cells]
    if "path" not in columns:
        raise InputError(
            f"{source}, line {line}: there is no column 'path' among {cells}; "
            "the first line must be path,label or more of path,label,group,split, with commas"
        )
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise InputError(f"{source}, line {line}: the column {twice[0]!r} is there twice; remove one")
    unread = [name for name in columns if name and name not in COLUMNS]
    if not unread:
        return columns, []
    return columns, [f"{source}: not read are the columns {', '.join(unread)} (known are {', '.join(COLUMNS)})"]


def _named(cells: list[str], columns: list[str], where: str) -> dict[str, str]:
    if len(cells) != len(columns):
        raise InputError(f"{where}: {len(cells)} fields where the header has {len(columns)}; quote names with commas")
    return dict(zip(columns, cells, strict=True))


def _video(cells: Mapping[str, str], on_disk: Mapping[str, SourceFile], folder: str, where: str) -> Video:
    relative = _inside(cells["path"], where)
    label, group, split = (nfc(cells.get(name, "").strip()) or None for name in ("label", "group", "split"))
    if split is not None and split.lower() not in SPLITS:
        raise InputError(f"{where}: the split {split!r} is not one of {', '.join(SPLITS)}")
    file = on_disk.get(nfc(relative))
    path = folder + (file.relative_path if file else relative)
    return Video(nfc(relative), path, label, group, split and split.lower(), file.bytes if file else None)


def _inside(path: str, where: str) -> str:
    """The relative path without ``.`` and doubled slashes, refused if it could lead out of the CSV's folder."""
    relative = str(PurePosixPath(path))
    if relative == "." or not path.strip():
        raise InputError(f"{where}: the path is empty; name a file or remove the line")
    if "\0" in path:
        raise InputError(f"{where}: the path {path!r} contains a NUL, which no file name can")
    if path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path) or _PROTOCOL.match(relative):
        raise InputError(
            f"{where}: the path {path!r} leads out of the CSV's folder or looks like a URL; "
            "name files below that folder, relative to it"
        )
    return relative


def _check_splits(videos: Sequence[Video], lines: Mapping[str, int], source: str) -> None:
    blank = [video for video in videos if video.split is None]
    if blank and len(blank) < len(videos):
        raise InputError(
            f"{source}, line {lines[blank[0].video_id]}: no split, while other lines have one; "
            "give train, val or test on every line, or on none"
        )


def _missing(
    videos: Sequence[Video], lines: Mapping[str, int], on_disk: Mapping[str, SourceFile], source: str
) -> list[str]:
    missing = [video.video_id for video in videos if video.bytes is None]
    if not missing:
        return []
    first, folded = missing[0], {video_id.casefold(): video_id for video_id in on_disk}
    warnings = [
        f"{len(missing):,} of the {len(videos):,} files named in {source} are not there and will be reported as "
        f"missing; the first is {first!r}, line {lines[first]}"
    ]
    recased = [video_id for video_id in missing if video_id.casefold() in folded]
    if recased:
        warnings.append(
            f"{source}, line {lines[recased[0]]}: {recased[0]!r} is not there, but {folded[recased[0].casefold()]!r} "
            f"is, which differs only in case ({len(recased):,} such lines)"
        )
    return warnings
