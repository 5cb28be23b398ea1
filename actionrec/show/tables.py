"""Tables as Markdown. Text that comes from people, such as a class name, is shown as it is and means nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

_MEANINGFUL = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "\\`*[]|~"},
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "\n": " ",
        "\r": " ",
    }
)


@dataclass(frozen=True)
class Grid:
    """A table for people. Cells are text, numbers, yes or no, or None, which is left empty."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    foot: str = ""  # a sentence below it

    def is_numeric(self, place: int) -> bool:
        """Whether a column is aligned as numbers are."""
        values = [row[place] for row in self.rows if row[place] is not None]
        return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)

    def cells(self) -> list[list[str]]:
        """The rows as plain text, of which nothing is escaped yet."""
        return [[_cell(value) for value in row] for row in self.rows]


def markdown(grid: Grid) -> str:
    """A grid in Markdown."""
    rule = ["---:" if grid.is_numeric(place) else "---" for place in range(len(grid.columns))]
    head = [" | ".join(line) for line in (grid.columns, rule)]
    body = [" | ".join(map(escape, row)) for row in grid.cells()]
    text = "".join(f"| {line} |\n" for line in (*head, *body))
    return f"{text}\n{grid.foot}\n" if grid.foot else text


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return text.translate(_MEANINGFUL)


def percent(value: float | None, digits: int = 1) -> str | None:
    """0.8125 as 81.2 %, None as None."""
    return None if value is None else f"{100 * value:.{digits}f} %"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)
