"""Rows for programs, a line each: JSON objects, or CSV with one header."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from actionrec.show import console

FORMS = ("json", "csv")  # anything else is for people


def begin(form: str, columns: tuple[str, ...]) -> None:
    """What comes before the first row."""
    if form == "csv":
        console.data(_csv(columns))


def row(form: str, said: Mapping[str, Any], cells: Mapping[str, Any]) -> None:
    """One row: `said` as JSON, or `cells`, which are by column."""
    console.data(json.dumps(said, ensure_ascii=False) if form == "json" else _csv(tuple(cells.values())))


def _csv(cells: tuple[Any, ...]) -> str:
    """A line by RFC 4180; None is empty, and truth is said as JSON says it."""
    text = io.StringIO()
    said = [str(cell).lower() if isinstance(cell, bool) else cell for cell in cells]
    csv.writer(text, lineterminator="\r\n").writerow(said)
    return text.getvalue().removesuffix("\r\n")
