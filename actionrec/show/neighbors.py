"""The page of a search: one video, and those nearest to it. No script, nothing fetched, everything escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from actionrec.show.page import Thumbnail
from actionrec.show.tables import Grid

TEMPLATE = "neighbors.html"
COLUMNS = ("rank", "distance", "video_id", "label", "group", "split")


@dataclass(frozen=True)
class Neighbor:
    """A video that was found."""

    video_id: str
    distance: float
    label: str | None
    group: str
    split: str | None


def rows(neighbors: Sequence[Neighbor]) -> list[dict[str, Any]]:
    """By COLUMNS."""
    return [
        dict(zip(COLUMNS, (rank, each.distance, each.video_id, each.label, each.group, each.split), strict=True))
        for rank, each in enumerate(neighbors, 1)
    ]


def grid(neighbors: Sequence[Neighbor]) -> Grid:
    found = [row | {"distance": f"{row['distance']:.3f}"} for row in rows(neighbors)]
    return Grid(COLUMNS, [list(row.values()) for row in found])


def html(asked: str, neighbors: Sequence[Neighbor], shown: Mapping[str, Thumbnail | str], about: str) -> str:
    """The whole page. `shown`: of each video its frame, or why there is none."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(asked=asked, neighbors=neighbors, shown=shown, about=about)
