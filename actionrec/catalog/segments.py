"""A segment of a file: its two times as a CSV gives them, and the id of the video that it is."""

import math

import numpy as np

from actionrec.errors import InputError

Times = tuple[float | None, float | None]


def segment_of(start: str, end: str, where: str) -> Times:
    """(start_s, end_s) of two cells: both None for a whole file, end_s None for the rest of it.

    Raises:
        InputError: one is no number of seconds, or the end is not after the start; `where` names file and line.
    """
    start_s, end_s = _seconds(start, "start", where), _seconds(end, "end", where)
    if not start_s and end_s is None:
        return None, None
    start_s = start_s or 0.0
    if end_s is not None and end_s <= start_s:
        raise InputError(f"{where}: the segment ends at {end!r}, which is not after its start; correct the two times")
    return start_s, end_s


def segment_id(file_id: str, times: Times) -> str:
    """The file's id alone, or with its times as a fragment of W3C's media fragments: x.mp4#t=2.5,10 or x.mp4#t=2.5."""
    start_s, end_s = times
    if start_s is None:
        return file_id
    return f"{file_id}#t={','.join(map(_shortest, [start_s] if end_s is None else [start_s, end_s]))}"


def _seconds(cell: str, name: str, where: str) -> float | None:
    if not cell.strip():
        return None
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(
            f"{where}: the {name} {cell!r} is not a time; give seconds from the file's begin, such as 12.5"
        )
    return seconds


def _shortest(seconds: float) -> str:
    return np.format_float_positional(seconds, trim="-")
