"""A map of videos: a mark each, by class, split and error, with names on hover and labels where there is room.

It is drawn twice, for a wide page and for a telephone, so that its words can be read on both.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from actionrec.show.marks import colour, outline, shape
from actionrec.show.words import short

SPLITS = ("train", "val", "test")  # drawn in this order: what was judged lies on top
MANY = 500  # points, beyond which marks are smaller
LABEL_LETTERS = 24
LETTER = 0.7  # of the font's size: the width of a mean letter


@dataclass(frozen=True)
class Point:
    """A video of the map."""

    name: str
    label: str
    split: str
    said: str | None = None  # the class that a wrong test video was taken for


@dataclass(frozen=True)
class Canvas:
    """How large a drawing is, in units of its viewBox."""

    name: str  # begins its ids
    width: int
    height: int
    radius: float  # of a mark, where there are few
    font: int
    has_titles: bool  # there is no hovering on a telephone


ROOMY, NARROW = Canvas("mapw", 960, 430, 5.0, 12, True), Canvas("mapn", 360, 380, 3.2, 11, False)
_Box = tuple[float, float, float, float]


def scatter(points: Sequence[Point], place_N2: NDArray[np.float64], classes: Mapping[str, int], canvas: Canvas) -> str:
    """The map as SVG. `place_N2`: where the points lie, in any unit; `classes`: the number of each class's mark."""
    if len(points) > MANY:
        canvas = dataclasses.replace(canvas, radius=0.75 * canvas.radius)
    at_N2 = _fitted(place_N2, canvas)
    order = sorted(range(len(points)), key=lambda i: (points[i].said is not None, SPLITS.index(points[i].split)))
    used = sorted({shape(classes[point.label]) for point in points})
    defs = "".join(f'<path id="{canvas.name}{each}" d="{outline(each, canvas.radius)}"/>' for each in used)
    body = "".join(_mark(points[i], at_N2[i], classes[points[i].label], canvas) for i in order)
    labels = "".join(_labels(points, at_N2, classes, canvas))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {canvas.width} {canvas.height}" class="map">'
        f"<defs>{defs}</defs>{body}{labels}</svg>"
    )


def _fitted(place_N2: NDArray[np.float64], canvas: Canvas) -> NDArray[np.float64]:
    low, high = place_N2.min(axis=0), place_N2.max(axis=0)
    margin = 3 * canvas.radius
    size = np.array([canvas.width, canvas.height]) - 2 * margin
    found: NDArray[np.float64] = margin + size * (place_N2 - low) / np.where(high > low, high - low, 1)
    return found


def _mark(point: Point, at_2: NDArray[np.float64], number: int, canvas: Canvas) -> str:
    x, y = (f"{value:.1f}" for value in at_2)
    title = ""
    if canvas.has_titles:
        said = f"; taken for {short(point.said, 60)}" if point.said else ""
        title = f"<title>{escape(f'{short(point.name, 90)}: {short(point.label, 60)}, {point.split}{said}')}</title>"
    look = f'class="{colour(number)} {point.split}"'
    use = f'<use href="#{canvas.name}{shape(number)}" x="{x}" y="{y}" {look}>{title}</use>'
    ring = f'<circle cx="{x}" cy="{y}" r="{1.8 * canvas.radius:.1f}" class="ring"/>' if point.said else ""
    return ring + use


def _labels(
    points: Sequence[Point], at_N2: NDArray[np.float64], classes: Mapping[str, int], canvas: Canvas
) -> list[str]:
    """The name of each class near its middle, left out where it would cover another."""
    taken: list[_Box] = []
    found = []
    of_class = {label: [i for i, point in enumerate(points) if point.label == label] for label in classes}
    for label, own in sorted(of_class.items(), key=lambda item: (-len(item[1]), item[0])):
        if not own:
            continue
        text = short(label, LABEL_LETTERS)
        half = len(text) * LETTER * canvas.font / 2
        for x, y in _spots(at_N2[own], half, canvas):
            box = (x - half, y - 0.6 * canvas.font, x + half, y + 0.6 * canvas.font)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                style = f'font-size="{canvas.font}" class="label {colour(classes[label])}"'
                found.append(f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>')
                break
    return found


def _spots(at_N2: NDArray[np.float64], half: float, canvas: Canvas) -> list[tuple[float, float]]:
    """Where the name of a class may stand, the best first: above most of its marks, below, and among them."""
    x, middle = np.median(at_N2, axis=0)
    x = float(np.clip(x, half + 2, max(half + 2, canvas.width - half - 2)))
    below_N = at_N2[np.abs(at_N2[:, 0] - x) <= half, 1]
    top, bottom = (below_N.min(), below_N.max()) if len(below_N) else (middle, middle)
    away = canvas.radius + 0.8 * canvas.font
    steps = [canvas.font * step for step in (0, 1.2, -1.2, 2.4, -2.4, 3.6, -3.6)]
    heights = [top - away, bottom + away, *(middle + step for step in steps)]
    return [(x, float(np.clip(y, canvas.font, canvas.height - canvas.font))) for y in heights]


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
