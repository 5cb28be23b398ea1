"""Tables as Markdown. Text that comes from people, such as a class name, is shown as it is and means nothing."""

from collections.abc import Sequence

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


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. Cells are text, numbers, yes or no, or None, which is left empty."""
    lines = [columns, ["---:" if _is_numeric(rows, place) else "---" for place in range(len(columns))]]
    head = [" | ".join(line) for line in lines]
    body = [" | ".join(map(_cell, row)) for row in rows]
    return "".join(f"| {line} |\n" for line in (*head, *body))


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return text.translate(_MEANINGFUL)


def percent(value: float | None) -> str | None:
    """0.8125 as 81.2 %, None as None."""
    return None if value is None else f"{100 * value:.1f} %"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return escape(str(value))


def _is_numeric(rows: Sequence[Sequence[object]], place: int) -> bool:
    values = [row[place] for row in rows if row[place] is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
