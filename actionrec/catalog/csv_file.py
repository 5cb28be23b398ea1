"""A CSV that names its videos, or segments of them: path,label[,group][,split][,start_s,end_s], relative to the CSV."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from actionrec.catalog.csv_text import columns_of, records, text_of
from actionrec.catalog.named_files import Named, NamedFiles
from actionrec.catalog.segments import Times, segment_id, segment_of
from actionrec.catalog.source import SPLIT_NAMES, Draft, SourceFile, Video, nfc, stem
from actionrec.errors import InputError

Cells = Mapping[str, str]  # by role, see csv_text.NAMES


class _Row(NamedTuple):
    line: int
    file_id: str
    found_by: str  # how Kinetics' files were found; empty for a path
    video: Video


def read_csv(listing: Sequence[SourceFile], content: bytes, source: str) -> Draft:
    """The videos named by the CSV at ``source``; ``listing`` is the CSV's own folder.

    A file that is named but not listed keeps its row with ``bytes`` None, so that extraction reports it as missing.
    Segments of one file without a group are one group: they show the same scene.

    Raises:
        InputError: naming the CSV and the line: neither UTF-8 nor UTF-16, no column that names files, a row of another
            width, an empty, repeated or outward path, times that are none, a split that is not train, val or test, or
            given for some rows only; no rows.
    """
    text = text_of(content, source)
    files = NamedFiles(listing)
    columns = columns_of(text, files.is_listed, source)
    folder = source[: source.rfind("/") + 1] or "./"  # a bare name could begin with ~ or a protocol
    rows: dict[str, _Row] = {}
    below_header = columns.has_header
    for line, cells in records(text, columns.separator, source):
        if below_header:
            below_header = False
            continue
        where = f"{source}, line {line}"
        row = _row(columns.named(cells, where), files, folder, line, where)
        first = rows.setdefault(row.video.video_id, row).line
        if first != line:
            raise InputError(
                f"{source}, lines {first} and {line}: both name {row.video.video_id!r}; remove one of them"
            )
    if not rows:
        raise InputError(f"{source} names no videos; write one line a video below the header path,label,group,split")
    found = list(rows.values())
    _check_splits(found, source)
    warnings = [*columns.warnings, *_kinetics(found, source), *_missing(found, files, source), *_shared(found, source)]
    return Draft([row.video for row in found], warnings)


def _row(cells: Cells, files: NamedFiles, folder: str, line: int, where: str) -> _Row:
    times = segment_of(cells.get("start_s", ""), cells.get("end_s", ""), where)
    label, group, split = (nfc(cells.get(name, "").strip()) or None for name in ("label", "group", "split"))
    if split is not None and split.lower() not in SPLIT_NAMES:
        raise InputError(f"{where}: the split {split!r} is not one of train, val, test (or {', '.join(SPLIT_NAMES)})")
    found_by = ""
    if "path" in cells:
        file = files.find(cells["path"], where)
    else:
        file, found_by = _kinetics_file(cells, times, files, where)
        group = group or nfc(cells["youtube_id"].strip())
    if _is_trimmed(file.file_id, times):
        times = None, None
    if times[0] is not None:
        group = group or file.file_id
    side = SPLIT_NAMES[split.lower()] if split else None
    video_id = segment_id(file.file_id, times)
    video = Video(video_id, folder + file.relative_path, label, group, side, file.bytes, *times)
    return _Row(line, file.file_id, found_by, video)


def _kinetics_file(cells: Cells, times: Times, files: NamedFiles, where: str) -> tuple[Named, str]:
    """The file of one of Kinetics' rows, and how it was found: by the clip's name, or as the whole YouTube video."""
    youtube_id = cells["youtube_id"].strip()
    if not youtube_id:
        raise InputError(f"{where}: the youtube_id is empty; name a video or remove the line")
    folders = [cells.get("label", ""), cells.get("split", "")]
    clip = youtube_id + _trimmed_end(times)
    if clip != youtube_id and (file := files.find_stem(clip, folders, where)):
        return file, "clips called YOUTUBEID_START_END"
    if file := files.find_stem(youtube_id, folders, where):
        return file, "videos called YOUTUBEID, cut by their times if they have any"
    return files.find(f"{clip}.mp4", where), "not there"


def _trimmed_end(times: Times) -> str:
    """How the usual downloaders end the name of a clip that they have cut: _000012_000022."""
    return "".join(f"_{int(seconds):06d}" for seconds in times if seconds is not None)


def _is_trimmed(file_id: str, times: Times) -> bool:
    """Whether the file is the segment already, by its name."""
    return None not in times and stem(file_id).endswith(_trimmed_end(times))


def _check_splits(rows: Sequence[_Row], source: str) -> None:
    blank = [row.line for row in rows if row.video.split is None]
    if blank and len(blank) < len(rows):
        raise InputError(
            f"{source}, line {blank[0]}: no split, while other lines have one; "
            "give train, val or test on every line, or on none"
        )


def _kinetics(rows: Sequence[_Row], source: str) -> list[str]:
    """How many were found by which name; empty where the rows have paths."""
    counts = Counter(row.found_by for row in rows if row.found_by)
    if not counts:
        return []
    return [f"{source}: of {len(rows):,} videos {', '.join(f'{n:,} are {how}' for how, n in sorted(counts.items()))}"]


def _missing(rows: Sequence[_Row], files: NamedFiles, source: str) -> list[str]:
    missing = [row for row in rows if row.video.bytes is None]
    if not missing:
        return []
    folded = {file_id.casefold(): file_id for file_id in files.by_id}
    warnings = [
        f"{len(missing):,} of the {len(rows):,} files named in {source} are not there and will be reported as "
        f"missing; the first is {missing[0].file_id!r}, line {missing[0].line}"
    ]
    recased = [row for row in missing if row.file_id.casefold() in folded]
    if recased:
        file_id = recased[0].file_id
        warnings.append(
            f"{source}, line {recased[0].line}: {file_id!r} is not there, but {folded[file_id.casefold()]!r} "
            f"is, which differs only in case ({len(recased):,} such lines)"
        )
    return warnings


def _shared(rows: Sequence[_Row], source: str) -> list[str]:
    """The warning that segments have their file as their group; empty where none has."""
    shared = [row for row in rows if row.video.start_s is not None and row.video.group == row.file_id]
    if not shared:
        return []
    return [
        f"{source}: {len(shared):,} segments have no group, so those of one file are a group, "
        "as near copies should be; give a group column where several files are of one recording"
    ]
