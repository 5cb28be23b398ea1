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
class Measured:
    """A figure as people read it, and the word without which it would be misread: the two share a cell."""

    text: str
    mark: str = ""  # such as "random"

    def __str__(self) -> str:
        return f"{self.text} ({self.mark})" if self.mark else self.text


@dataclass(frozen=True)
class Grid:
    """A table for people. Cells are text, numbers, figures, yes or no, or None, which is left empty."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    foot: str = ""  # a sentence below it
    marked: int | None = None  # the row that stands out

    def is_numeric(self, place: int) -> bool:
        """Whether a column is aligned as numbers are."""
        values = [row[place] for row in self.rows if row[place] is not None]
        kinds = int | float | Measured
        return bool(values) and all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)

    def cells(self) -> list[list[str]]:
        """The rows as plain text, of which nothing is escaped yet."""
        return [self.text(row) for row in self.rows]

    def text(self, row: Sequence[object]) -> list[str]:
        """One of the rows as plain text."""
        return [_cell(value) for value in row]


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


def number(value: float) -> str:
    """Whole numbers and thousands grouped, 1,200; others with four digits that count, 0.1235."""
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def measured(value: float | None, mark: str = "") -> Measured | None:
    """A number as a figure; None as None."""
    return None if value is None else Measured(number(value), mark)


def share(value: float | None, mark: str = "", digits: int = 1) -> Measured | None:
    """0.8125 as the figure 81.2 %; None as None."""
    return None if value is None else Measured(f"{percent(value, digits)}", mark)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case _:
            return str(value)
