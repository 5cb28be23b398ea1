"""The text of a CSV as records, and what its first lines say of it: the separator, and which column is which.

A header is told by the name of a column that finds the videos. Without one the columns are guessed from what they hold,
and a warning says as what.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from actionrec.catalog.source import SPLIT_NAMES, decoded, has_video_extension
from actionrec.errors import InputError

# What is read, by the names that it may have. The first of them wins; two of the others are refused.
NAMES: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_path", "video", "video_path"),
    "label": ("label", "class", "action"),
    "group": ("group",),
    "split": ("split", "subset"),
    "start_s": ("start_s", "time_start", "start", "t_start"),
    "end_s": ("end_s", "time_end", "end", "t_end"),
    "youtube_id": ("youtube_id",),  # Kinetics': a file is found by it and the two times
}
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
SAMPLE = 1000  # records that columns without names are guessed from

EXCELS_HINT = re.compile(r"\Asep=.(?=\r?\n)")  # a first line that only says what separates the fields

Record = tuple[int, list[str]]  # the line it begins on, and its fields


class Columns(NamedTuple):
    """How to read the records. ``roles`` has the key of NAMES of each column, "" for one that is not read."""

    separator: str
    roles: list[str]
    has_header: bool
    warnings: list[str]

    def named(self, cells: Sequence[str], where: str) -> dict[str, str]:
        """A record's fields by role. Raises InputError where they are more or fewer than there are columns."""
        if len(cells) != len(self.roles):
            first = "the header" if self.has_header else "the first line"
            raise InputError(
                f"{where}: {len(cells)} fields where {first} has {len(self.roles)}; "
                f"quote what holds {SEPARATORS[self.separator]} itself"
            )
        return {role: cell for role, cell in zip(self.roles, cells, strict=True) if role}


def records(text: str, separator: str, source: str) -> Iterator[Record]:
    """Each record with its line; blank lines are skipped.

    Raises:
        InputError: quotes that do not end; names the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source}, line {line}: {error}; check the quotes of this record") from error


def text_of(content: bytes, source: str) -> str:
    """The CSV's text; InputError where it is not UTF-8 or UTF-16. A line that speaks to Excel becomes a blank one."""
    return EXCELS_HINT.sub("", decoded(content, source))


def columns_of(text: str, is_listed: Callable[[str], bool], source: str) -> Columns:
    """The separator and the columns of a CSV; ``is_listed`` tells whether a cell names a file that is there.

    Raises:
        InputError: no column names the videos, two have the same meaning, or two readings are equally good.
    """
    if "\0" in text.partition("\n")[0]:
        raise InputError(f"{source}, line 1: it holds NUL bytes, as UTF-16 without its mark does; save it as UTF-8")
    first = {separator: _first(text, separator) for separator in SEPARATORS}
    headers = {separator: record for separator, record in first.items() if _is_header(record[1])}
    if headers:
        return _from_header(headers, source)
    if any(_rank([cells], is_listed)[:2] > (0, 0) for _, cells in first.values()):
        return _guessed(text, is_listed, source)
    next(records(text, ",", source), None)  # quotes that do not end are the better reason
    line, cells = max(first.values(), key=lambda record: len(record[1]))
    raise InputError(
        f"{source}, line {line}: there is no column 'path' among {cells}; the first line must be path,label or more of "
        "path,label,group,split,start_s,end_s, with commas, semicolons or tabs between them"
    )


def _first(text: str, separator: str) -> Record:
    try:
        return next(records(text, separator, ""), (1, []))
    except InputError:
        return 1, []


def _words(cells: Sequence[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _is_header(cells: Sequence[str]) -> bool:
    finds = {*NAMES["path"], *NAMES["youtube_id"]}
    return not finds.isdisjoint(_words(cells)) and not any(map(has_video_extension, _words(cells)))


def _from_header(headers: Mapping[str, Record], source: str) -> Columns:
    widest = max(len(cells) for _, cells in headers.values())
    separator, *others = [each for each, (_, cells) in headers.items() if len(cells) == widest]
    line, cells = headers[separator]
    if others and widest > 1:
        raise InputError(
            f"{source}, line {line}: the columns could be separated by {SEPARATORS[separator]} or by "
            f"{SEPARATORS[others[0]]}; use one of them only"
        )
    words = _words(cells)
    places = _places(words, f"{source}, line {line}")
    roles = ["" for _ in words]
    for role, place in places.items():
        roles[place] = role
    unread = [word for word, role in zip(words, roles, strict=True) if word and not role]
    known = ", ".join(role for role in NAMES)
    warnings = [f"{source}: not read are the columns {', '.join(unread)} (known are {known})"] if unread else []
    return Columns(separator, roles, True, warnings)


def _places(words: Sequence[str], where: str) -> dict[str, int]:
    """The column of each role that there is."""
    places: dict[str, int] = {}
    for role, names in NAMES.items():
        found = [name for name in names if name in words]
        chosen = found[:1] if role in found else found
        if len(chosen) > 1:
            raise InputError(
                f"{where}: the columns {chosen[0]!r} and {chosen[1]!r} could both be the {role}; rename one of them"
            )
        if chosen and words.count(chosen[0]) > 1:
            raise InputError(f"{where}: the column {chosen[0]!r} is there twice; remove one")
        if chosen:
            places[role] = words.index(chosen[0])
    if "path" in places:
        places.pop("youtube_id", None)  # the file is named already
    return places


def _guessed(text: str, is_listed: Callable[[str], bool], source: str) -> Columns:
    samples = {separator: _sample(text, separator) for separator in SEPARATORS}
    ranks = {separator: _rank(sample, is_listed) for separator, sample in samples.items()}
    best = max(ranks.values())
    separator, *others = [each for each, rank in ranks.items() if rank == best]
    if others and best[-1] > 1:
        raise InputError(
            f"{source}: there is no header, and the columns could be separated by {SEPARATORS[separator]} or by "
            f"{SEPARATORS[others[0]]}; give a first line such as path,label"
        )
    roles = _guessed_roles(samples[separator], is_listed, source)
    shown = ", ".join(f"column {number} is {role or 'not read'}" for number, role in enumerate(roles, 1))
    example = separator.join(role or "other" for role in roles)
    warning = (
        f"{source}: there is no header; guessed from what they hold, {shown}; the first line {example!r} would say so"
    )
    return Columns(separator, roles, False, [warning])


def _sample(text: str, separator: str) -> list[list[str]]:
    """The first records, as far as they are as wide as the very first; none where the quotes do not end."""
    try:
        rows = [cells for _, cells in islice(records(text, separator, ""), SAMPLE)]
    except InputError:
        return []
    return [cells for cells in rows if len(cells) == len(rows[0])]


def _rank(rows: Sequence[Sequence[str]], is_listed: Callable[[str], bool]) -> tuple[int, int, int]:
    """How good a reading is: by cells that are files, by cells that could be, by columns."""
    cells = [cell.strip() for row in rows for cell in row]
    return sum(map(is_listed, cells)), sum(map(has_video_extension, cells)), len(rows[0]) if rows else 0


def _guessed_roles(rows: Sequence[Sequence[str]], is_listed: Callable[[str], bool], source: str) -> list[str]:
    """Files are the path, words such as train are the split, and of what is left the text is the label."""
    columns = [[row[place].strip() for row in rows] for place in range(len(rows[0]))]
    scores = [_rank([column], is_listed)[:2] for column in columns]
    path = _only([place for place, score in enumerate(scores) if score == max(scores)], "path", source)
    roles = ["path" if place == path else "" for place in range(len(columns))]
    free = [place for place in range(len(columns)) if place != path and any(columns[place])]
    splits = [place for place in free if {cell.lower() for cell in columns[place]} <= SPLIT_NAMES.keys()]
    if splits:
        roles[_only(splits, "split", source)] = "split"
    rest = [place for place in free if place not in splits]
    texts = [place for place in rest if not all(map(_is_number, columns[place]))]
    if texts or len(rest) == 1:
        roles[_only(texts or rest, "label", source)] = "label"
    return roles


def _only(places: Sequence[int], role: str, source: str) -> int:
    if len(places) > 1:
        raise InputError(
            f"{source}: there is no header, and columns {places[0] + 1} and {places[1] + 1} could both be the {role}; "
            "give a first line such as path,label"
        )
    return places[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text
    return True
