"""Pairs of near copies, as a person reads them and as rows of a CSV."""

from collections.abc import Mapping, Sequence
from typing import Any

from actionrec.show.tables import Grid

SHOWN = 20
VIDEO = ("video_id", "label", "group", "split")
COLUMNS = ("distance", "across_splits", *VIDEO, *(f"{name}_2" for name in VIDEO))


def cells(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a CSV: a cell for each of COLUMNS."""
    values = [video[name] for video in pair["videos"] for name in VIDEO]
    return dict(zip(COLUMNS, (pair["distance"], pair["across_splits"], *values), strict=True))


def grid(pairs: Sequence[Mapping[str, Any]]) -> Grid:
    """The first of them."""
    columns = ["distance", "splits", "videos", "classes", "groups"]
    return Grid(columns, [[f"{pair['distance']:.3f}", *_both(pair)] for pair in pairs[:SHOWN]])


def _both(pair: Mapping[str, Any]) -> list[str]:
    both = [
        [str(video[name] or "none") for video in pair["videos"]] for name in ("split", "video_id", "label", "group")
    ]
    return [f"{one} and {other}" if one != other else f"both {one}" for one, other in both]
