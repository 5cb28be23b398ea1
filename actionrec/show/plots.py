"""The report's pictures as SVG: lines and text in the page's own colour, so that they are read by day and by night.

Text stays text, is escaped by matplotlib, and is never taken for a formula. Equal numbers give equal bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actionrec.show.words import short

INK = "#7f8081"  # stands for the page's text colour until the SVG is written
FIRST, SECOND, THIRD = "#3b82c4", "#d9822b", "#3d9a6b"  # told apart by colour-blind eyes, on black and on white
BAR_INCHES = 0.24
_OPENING = r'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1">'

_STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,  # a drawing of four inches fills a telephone, and is shown about as large as it is
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


class Plot:
    """A figure that is being drawn; `svg` is there when the block has ended."""

    svg: str = ""

    def __init__(self, name: str, figure: Figure) -> None:
        self.name, self.figure = name, figure


@contextmanager
def _plot(name: str, width: float, height: float) -> Iterator[Plot]:
    """A figure of so many inches. Ids in its SVG are its own, so that a page can hold many."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the glyph
        plot = Plot(name, Figure(figsize=(width, height), layout="constrained"))
        yield plot
        buffer = io.StringIO()
        plot.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    drawing = text[text.index("<svg") :].replace(INK, "currentColor")
    plot.svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', _OPENING, drawing, count=1)


def intervals(
    name: str, rows: Sequence[tuple[str, float, float | None, float | None, float | None]], marked: str | None
) -> str:
    """Top-1 of each row (label, share, low, high, the paper's) with its interval; the row `marked` stands out."""
    with _plot(name, 7, 0.7 + BAR_INCHES * len(rows)) as plot:
        axes = plot.figure.subplots()
        for place, (label, value, low, high, paper) in enumerate(rows):
            colour = SECOND if label == marked else FIRST
            if low is not None and high is not None:
                axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2, alpha=0.5)
            axes.plot(100 * value, place, "o", color=colour, markersize=5)
            if paper is not None:
                axes.plot(100 * paper, place, "x", color=INK)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("test top-1, %")
        axes.grid(axis="x", alpha=0.25)
    return plot.svg


def table1(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of Table I that have figures; empty where none has."""
    known = [row for row in rows if row["top1"] is not None]
    best = next((row["model"] for row in known if row["best_on_validation"]), None)
    figures = [(row["model"], row["top1"], row["top1_low"], row["top1_high"], row["paper_top1"]) for row in known]
    return intervals("table1", figures, best) if figures else ""


def curves(name: str, history: Sequence[Mapping[str, float]]) -> str:
    """A network's loss by epoch on training and validation, the epoch that was kept marked."""
    with _plot(f"curves-{name}", 3.4, 2.3) as plot:
        axes = plot.figure.subplots()
        epochs = np.arange(1, len(history) + 1)
        for key, colour, label in (("train_loss", FIRST, "training"), ("val_loss", SECOND, "validation")):
            axes.plot(epochs, [epoch[key] for epoch in history], color=colour, label=label)
        best = int(np.argmin([epoch["val_loss"] for epoch in history]))
        axes.plot(best + 1, history[best]["val_loss"], "o", color=SECOND, markersize=5)
        axes.set_title(short(name, 40), fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend()
    return plot.svg


def motion(
    name: str, times_s: NDArray[np.float64], motion_px: NDArray[np.float64], taken_s: Mapping[str, NDArray[np.float64]]
) -> str:
    """A clip's mean displacement over time, and the moments that each way of sampling took."""
    with _plot(name, 4.1, 2.4) as plot:
        curve, below = plot.figure.subplots(2, sharex=True, height_ratios=(3, 1))
        curve.fill_between(times_s, motion_px, color=FIRST, alpha=0.25, linewidth=0)
        curve.plot(times_s, motion_px, color=FIRST)
        curve.set_ylabel("motion, px")
        for place, (moments_s, colour) in enumerate(zip(taken_s.values(), (SECOND, THIRD), strict=True)):
            _ticks(below, moments_s, place, colour)
        below.set_yticks(range(len(taken_s)), list(taken_s))
        below.set_ylim(len(taken_s) - 0.4, -0.6)
        below.set_xlabel("time, s")
    return plot.svg


def _ticks(axes: Axes, moments_s: NDArray[np.float64], place: int, colour: str) -> None:
    axes.vlines(moments_s, place - 0.4, place + 0.4, color=colour, linewidth=1.5)
