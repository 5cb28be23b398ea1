"""The videos nearest to one, and pairs of near copies that lie in different groups, as a root has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actionrec.errors import InputError
from actionrec.report.stills import NoFrame, frames_of
from actionrec.search.catalogued import Asked, Searched, ask, read_catalogued
from actionrec.search.pairs import EXACT_VIDEOS, Pairs, near_pairs, usual_threshold
from actionrec.search.space import nearest
from actionrec.show.gallery import shrunk
from actionrec.show.neighbors import Neighbor, html
from actionrec.storage import layout
from actionrec.storage.root import Root
from actionrec.storage.store import named_file


@dataclass(frozen=True)
class Nearest:
    """The videos nearest to the one that was asked for, the nearest first."""

    asked: Asked
    videos: Searched
    neighbors: list[Neighbor]

    @property
    def compared(self) -> int:
        return len(self.videos.ids) - (self.asked.place is not None)


def search(root: Root, name: str, top: int) -> Nearest:
    """InputError: the root has no embeddings, or `name` is no video that can be used."""
    videos = read_catalogued(root)
    asked = ask(root, videos, name)
    places, distance_N = nearest(asked.point, videos.points, top + 1)
    found = [
        Neighbor(videos.ids[place], float(distance), videos.labels[place], videos.groups[place], videos.splits[place])
        for place, distance in zip(places.tolist(), distance_N, strict=True)
        if place != asked.place
    ]
    return Nearest(asked, videos, found[:top])


def write_page(root: Root, found: Nearest, out: str | None) -> str:
    """Write the page of thumbnails, by default under the root; where it lies."""
    wanted = [each.video_id for each in found.neighbors]
    frames = frames_of(root, dict.fromkeys([*wanted, *([found.asked.name] if found.asked.place is not None else [])]))
    shown: dict[str, bytes | str] = {
        video_id: frame.why if isinstance(frame, NoFrame) else shrunk(frame[0]) for video_id, frame in frames.items()
    }
    name, middle_HWC = found.asked.name, found.asked.middle_HWC
    if found.asked.place is None:
        shown[name] = f"{name}: it has no frames" if middle_HWC is None else shrunk(middle_HWC)
    page = html(name, found.neighbors, shown, about(found.videos, found.compared)).encode()
    store, key = (root.output, layout.SEARCH) if out is None else named_file(out, root.config.storage)
    store.put(key, page)
    return f"{store.url}/{key}"


def about(videos: Searched, compared: int) -> str:
    """What the distances are."""
    without = f"; {videos.without:,} more have no embedding" if videos.without else ""
    return (
        f"Of {compared:,} catalogued videos{without}. Distance: 1 - cosine of the video embeddings "
        f"({' + '.join(videos.space.streams)}), each stream standardised over the training videos and made as long as "
        "1, over the streams that both videos have; 0 is the same, about 1 unrelated."
    )


@dataclass(frozen=True)
class Copies:
    """Near copies in different groups."""

    videos: Searched
    pairs: Pairs
    threshold: float
    exact: bool

    def rows(self) -> list[dict[str, Any]]:
        """The pairs that are kept, as plain types."""
        columns = (self.pairs.distance, self.pairs.across_splits, self.pairs.first, self.pairs.second)
        return [
            {"distance": float(distance), "across_splits": bool(across), "videos": [self._video(one), self._video(two)]}
            for distance, across, one, two in zip(*columns, strict=True)
        ]

    def said(self) -> Sequence[str]:
        """What was found, and what is to be done about it, in sentences."""
        how = "each with every other one" if self.exact else "by an index, which may miss a pair"
        found, across = self.pairs.total, self.pairs.total_across
        counts = (
            f"{found:,} pairs of near copies lie in different groups, {across:,} of them in different splits "
            f"(distance up to {self.threshold:.3g}; {len(self.videos.ids):,} videos compared, {how})."
        )
        if not found:
            return [counts]
        if not across:
            return [
                counts,
                "None of them spoils a test. Give videos of one recording one group before splits are cut anew.",
            ]
        return [
            counts,
            "Look at them; give the videos of a pair that shows one recording one group (the column group of a CSV), "
            "catalog them into a new root and train again: across splits a model is tested on what it has seen.",
        ]

    def warnings(self) -> list[str]:
        """What the rows and counts leave out."""
        left, without = self.pairs.total - len(self.pairs.first), self.videos.without
        return [
            *([f"{left:,} pairs more are not listed: only those across splits, then the nearest, are"] if left else []),
            *([f"{without:,} catalogued videos have no embedding and were not compared"] if without else []),
        ]

    def _video(self, place: int) -> dict[str, Any]:
        found = self.videos
        return {
            "video_id": found.ids[place],
            "label": found.labels[place],
            "group": found.groups[place],
            "split": found.splits[place],
        }


def duplicates(root: Root, threshold: float | None = None) -> Copies:
    """By default those up to `usual_threshold` apart.

    InputError: the root has no embeddings, or so many that faiss is needed, and it is not installed.
    """
    if threshold is not None and not 0 <= threshold <= 2:
        raise InputError(f"--threshold {threshold}: a distance lies between 0, the same, and 2, the opposite")
    videos = read_catalogued(root)
    group_N, split_N = videos.codes()
    up_to = usual_threshold(videos.points, group_N) if threshold is None else threshold
    exact = len(videos.ids) <= EXACT_VIDEOS
    return Copies(videos, near_pairs(videos.points, group_N, split_N, up_to, exact=exact), up_to, exact)
