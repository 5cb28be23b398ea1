"""How classes are told apart in a drawing: a colour and a shape each, of which 104 pairs differ.

A class has its colour by CSS (`.k0` to `.k7`, other values by day and by night), so a drawing follows the page.
"""

import math

# By day on white, by night on nearly black; each with a contrast of 3 or more to what lies behind it, as WCAG asks.
PALETTE = (
    ("#1f6fb4", "#6db3f2"),
    ("#b45309", "#f5a24b"),
    ("#1b7f4b", "#5fcf93"),
    ("#8a3ea8", "#cf95e8"),
    ("#c02d3c", "#ff8f95"),
    ("#007a87", "#4fc9d6"),
    ("#7a5230", "#d0a57a"),
    ("#b3237e", "#f58cc8"),
)


def _polygon(corners: int, turn: float = 0.0, inner: float | None = None) -> list[tuple[float, float]]:
    """Points of a regular polygon, the first one up; `inner`: of a star, how near its dents are to the middle."""
    points = corners if inner is None else 2 * corners
    radii = [1.0 if inner is None or place % 2 == 0 else inner for place in range(points)]
    angles = [turn + 2 * math.pi * place / points for place in range(points)]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _cross(turn: float) -> list[tuple[float, float]]:
    arm = ((-0.35, -1.0), (0.35, -1.0), (0.35, -0.35))
    turns = [turn + place * math.pi / 2 for place in range(4)]
    return [(x * math.cos(t) - y * math.sin(t), x * math.sin(t) + y * math.cos(t)) for t in turns for x, y in arm]


SHAPES = (
    _polygon(24),  # as good as a circle
    _polygon(4, math.pi / 4),
    _polygon(3),
    _polygon(4),
    _cross(0),
    _polygon(3, math.pi),
    _polygon(5, inner=0.45),
    _cross(math.pi / 4),
    _polygon(6),
    _polygon(3, math.pi / 2),
    [(-0.9, -0.9), (0.9, -0.9), (-0.9, 0.9), (0.9, 0.9)],  # an hourglass
    _polygon(3, -math.pi / 2),
    _polygon(4, inner=0.4),
)


def colour(place: int) -> str:
    """The CSS class of the `place`-th class."""
    return f"k{place % len(PALETTE)}"


def shape(place: int) -> int:
    """Which of SHAPES is that of the `place`-th class."""
    return place % len(SHAPES)


def outline(number: int, radius: float) -> str:
    """One of SHAPES around the origin, as the `d` of a path."""
    corners = [f"{radius * x:.1f},{radius * y:.1f}" for x, y in SHAPES[number]]
    return f"M{'L'.join(corners)}z"


def swatch(place: int | None, kind: str) -> str:
    """A mark by itself, for a legend: of the `place`-th class or of none, as a video of the split `kind` has it."""
    of_class = "" if place is None else f" {colour(place)}"
    path = outline(0 if place is None else shape(place), 6)
    ring = '<circle r="8.5" class="ring"/>' if kind == "wrong" else ""
    return (
        f'<svg class="swatch{of_class}" viewBox="-10 -10 20 20" aria-hidden="true">'
        f'<path d="{path}" class="{"test" if kind == "wrong" else kind}"/>{ring}</svg>'
    )
