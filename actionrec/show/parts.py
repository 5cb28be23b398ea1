"""What a page is put together from, beside galleries: each is data, and parts.html says what it looks like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from actionrec.show.gallery import Gallery, Thumbnail
from actionrec.show.tables import Grid, Measured

SHOWN_ROWS = 200  # of a table, unless it says otherwise; the whole of it lies under the root


@dataclass(frozen=True)
class Tile:
    """One figure to be seen first."""

    label: str
    figure: Measured
    note: str


@dataclass(frozen=True)
class Tiles:
    tiles: Sequence[Tile]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Command:
    """A line to be typed."""

    line: str
    kind: ClassVar[str] = "command"


@dataclass(frozen=True)
class Drawing:
    """SVG that a module of this room drew; it has escaped what comes from data.

    `narrow` is shown in its place where the page is narrow.
    """

    svg: str
    alt: str  # what it shows, for those who do not see it
    narrow: str = ""
    width: str = "whole"  # or "half": at most so much of the page
    kind: ClassVar[str] = "drawing"

    @property
    def versions(self) -> list[tuple[str, Markup]]:
        if not self.narrow:
            return [("", Markup(self.svg))]
        return [("roomy", Markup(self.svg)), ("narrow", Markup(self.narrow))]


@dataclass(frozen=True)
class Drawings:
    """Small drawings side by side, as many as there is room for."""

    drawings: Sequence[Drawing]
    kind: ClassVar[str] = "drawings"


@dataclass(frozen=True)
class Legend:
    """What marks mean: a mark as SVG, and a name."""

    entries: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "legend"

    @property
    def rows(self) -> list[tuple[Markup, str]]:
        return [(Markup(mark), name) for mark, name in self.entries]


@dataclass(frozen=True)
class Table:
    """A table, of which the first rows are shown."""

    grid: Grid
    label: str  # for those who do not see it
    shown_rows: int = SHOWN_ROWS
    kind: ClassVar[str] = "table"

    @property
    def left_out(self) -> int:
        return max(0, len(self.grid.rows) - self.shown_rows)


@dataclass(frozen=True)
class Strip:
    """A row of a chart: a label, a strip without text that fills the width there is, and a figure."""

    label: str
    svg: str
    figure: Measured | None
    stands_out: bool = False

    @property
    def drawing(self) -> Markup:
        return Markup(self.svg)


@dataclass(frozen=True)
class Strips:
    """Rows over one axis, whose ends are named."""

    rows: Sequence[Strip]
    alt: str
    ends: tuple[str, str]
    kind: ClassVar[str] = "strips"


@dataclass(frozen=True)
class Scale:
    """Many values on one line, split at a threshold."""

    svg: str
    alt: str
    ends: tuple[str, str]
    at: float  # where the threshold is, in per cent of the line
    said: str  # at the threshold
    kind: ClassVar[str] = "scale"

    @property
    def drawing(self) -> Markup:
        return Markup(self.svg)


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix."""

    count: int
    share: float  # of the row's videos
    said: str  # in words, on hover


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix with its numbers: a row and a column a class."""

    labels: Sequence[str]
    cells: Sequence[Sequence[Cell]]
    totals: Sequence[int]
    kind: ClassVar[str] = "matrix"


@dataclass(frozen=True)
class Card:
    """A class: what it looks like, and how well it is told."""

    title: str
    thumbnails: Sequence[Thumbnail]
    share: float | None  # of its test videos that are right; the length of a bar
    figure: Measured | None
    note: str


@dataclass(frozen=True)
class Cards:
    cards: Sequence[Card]
    kind: ClassVar[str] = "cards"


Part = Tiles | Command | Drawing | Drawings | Legend | Table | Strips | Scale | Matrix | Cards | Gallery
