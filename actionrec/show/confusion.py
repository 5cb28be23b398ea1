"""A confusion matrix of many classes, without a word in it: what a square is stands in its title."""

from collections.abc import Sequence

from markupsafe import escape

from actionrec.show.parts import Cell, Matrix
from actionrec.show.words import short

NAMED_CLASSES = 24  # more rows than these have no room for their numbers
SQUARE = 10
MOST_SQUARES = 4000  # some 600 kB; of more, those with one video are left out, then those with two


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]], totals: Sequence[int]) -> Matrix:
    """`counts`: how many videos of each class (row) were taken for each (column); `totals`: the videos of each row."""
    cells = [
        [
            Cell(count, count / total if total else 0.0, f"{label} taken for {said}: {count:,} of {total:,}")
            for said, count in zip(labels, row, strict=True)
        ]
        for label, row, total in zip(labels, counts, totals, strict=True)
    ]
    return Matrix(labels, cells, totals)


def fewest_shown(of: Matrix) -> int:
    """How many videos a square off the diagonal needs to be drawn: 1, unless there are too many such squares."""
    counts = sorted(cell.count for cells in of.cells for cell in cells if cell.count)
    return 1 if len(counts) <= MOST_SQUARES else counts[-MOST_SQUARES] + 1


def picture(of: Matrix) -> str:
    """The matrix as squares, the darker the larger the share of their row."""
    side, fewest = SQUARE * len(of.labels), fewest_shown(of)
    rules = "".join(
        f'<path d="M0,{place * SQUARE}H{side}M{place * SQUARE},0V{side}" class="rule"/>'
        for place in range(0, len(of.labels) + 1, 10)
    )
    squares = "".join(
        f'<rect x="{SQUARE * column}" y="{SQUARE * row}" width="{SQUARE}" height="{SQUARE}" '
        f'class="{"right" if row == column else "mistaken"}" fill-opacity="{0.25 + 0.75 * cell.share:.2f}">'
        f"<title>{escape(short(cell.said, 120))}</title></rect>"
        for row, cells in enumerate(of.cells)
        for column, cell in enumerate(cells)
        if cell.count >= (1 if row == column else fewest)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {side + 2} {side + 2}" class="matrix">'
        f"{rules}{squares}</svg>"
    )
