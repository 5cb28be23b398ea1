"""What a search found, as rows and as a page: one video, and those nearest to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actionrec.show.gallery import Gallery, Thumbnail
from actionrec.show.page import Block, Heading, Section, Stamp
from actionrec.show.page import html as page
from actionrec.show.tables import Grid

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


def html(asked: str, neighbors: Sequence[Neighbor], shown: Mapping[str, bytes | str], about: str) -> str:
    """The whole page. `shown`: of each video a small frame, as WebP, or why there is none."""
    found = [
        _thumbnail(
            each.video_id,
            shown[each.video_id],
            [
                (f"{rank}.", each.label or "no label"),
                ("distance", f"{each.distance:.3f}"),
                ("split", each.split or "none"),
            ],
        )
        for rank, each in enumerate(neighbors, 1)
    ]
    blocks = [
        Block(parts=[Gallery([_thumbnail(asked, shown[asked], [])])]),
        Block(heading="The nearest, the nearest first", parts=[Gallery(found)], note=about),
    ]
    heading = Heading("actionrec search", f"Near {asked}")
    return page(heading, Stamp("0", "0", 0), [Section("nearest", "The nearest", blocks)])


def _thumbnail(video_id: str, frame: bytes | str, facts: list[tuple[str, str]]) -> Thumbnail:
    if isinstance(frame, bytes):
        return Thumbnail(frame, video_id, facts)
    return Thumbnail(None, video_id, [*facts, ("frame", frame)])
