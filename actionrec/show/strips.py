"""Drawings without a word, as wide as the page has room for: text stands beside them, as large as all other text."""

from collections.abc import Sequence

_OPENING = '<svg class="strip" viewBox="0 0 100 {height}" preserveAspectRatio="none" aria-hidden="true">'


def interval(value: float | None, low: float | None, high: float | None, other: float | None = None) -> str:
    """A share as a dot, its interval as a line, and another share as a cross line, over an axis from 0 to 1."""
    found = [f'<path d="M{x},0V20" class="rule"/>' for x in (0, 25, 50, 75, 100)]
    if low is not None and high is not None:
        found.append(f'<path d="M{100 * low:.2f},10H{100 * high:.2f}" class="span"/>')
    if other is not None:
        found.append(f'<path d="M{100 * other:.2f},3V17" class="other"/>')
    if value is not None:
        found.append(f'<path d="M{100 * value:.2f},10h0.001" class="dot"/>')
    return _OPENING.format(height=20) + "".join(found) + "</svg>"


def scale(values: Sequence[tuple[float, str]], threshold: float, end: float) -> str:
    """Values (and the split of each) as lines over an axis from 0 to `end`, split at the threshold."""
    found = [f'<path d="M0,38H100" class="rule"/><path d="M{_place(threshold, end)},0V40" class="threshold"/>']
    for value, split in values:
        kind = "above" if value > threshold else "below"
        found.append(f'<path d="M{_place(value, end)},{_TOP.get(split, 14)}V36" class="{kind}"/>')
    return _OPENING.format(height=40) + "".join(found) + "</svg>"


_TOP = {"test": 8}  # test videos are what the score is for; the others' lines are shorter


def _place(value: float, end: float) -> str:
    return f"{100 * value / end if end > 0 else 0:.2f}"
