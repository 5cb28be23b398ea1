"""Pairs of videos nearer than a threshold: exactly, block by block, or as an index of faiss proposes them.

Axes: N videos, P pairs, S streams.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrec.errors import InputError
from actionrec.search.space import Points, apart, distances, patterns

EXACT_VIDEOS = 50_000  # up to which every video is compared with every other one: see docs/search.md
BLOCK_NUMBERS = 2**24  # distances that are held at once, 64 MB
KEPT_PAIRS = 10_000
SAMPLED = 1000  # videos that the threshold is told by
LIMITS = (0.1, 0.3)  # of the threshold
REDUCED = 64  # numbers to which the index reduces a video
NEIGHBOURS = 32  # that the index proposes of each video
PROBED = 16  # of the index's cells, for each video


@dataclass(frozen=True)
class Pairs:
    """The pairs that are kept, those across splits first, then the nearest; and how many there are in all."""

    first: NDArray[np.int64]  # [P] places, each below its `second`
    second: NDArray[np.int64]
    distance: NDArray[np.float32]
    across_splits: NDArray[np.bool_]
    total: int
    total_across: int


def usual_threshold(points: Points, group_N: NDArray[np.int64]) -> float:
    """Half of what 9 of 10 videos do not exceed in distance to the nearest one of another group; 0.1 to 0.3.

    How near each other unrelated videos lie is a matter of the networks, which draw those of a class together; a copy
    lies much nearer than that. Not the median, for most videos may have copies. Told by at most SAMPLED videos, evenly
    spaced. See docs/search.md.
    """
    if len(points) < 2:
        return LIMITS[1]
    sample = np.unique(np.linspace(0, len(points) - 1, min(SAMPLED, len(points))).astype(np.int64))
    own = []
    for places in np.array_split(sample, -(-len(sample) * len(points) // BLOCK_NUMBERS) or 1):
        distance = distances(points.rows(places), points)
        distance[group_N[places, None] == group_N] = np.inf
        own.append(distance.min(axis=1))
    nearest = np.concatenate(own)
    nearest = nearest[np.isfinite(nearest)]
    return min(max(float(np.quantile(nearest, 0.9)) / 2, LIMITS[0]), LIMITS[1]) if len(nearest) else LIMITS[1]


@dataclass
class _Found:
    """Collects pairs of different groups, of which it keeps the KEPT_PAIRS that matter most."""

    group_N: NDArray[np.int64]
    split_N: NDArray[np.int64]  # below 0: none, across which nothing leaks
    kept: list[NDArray[np.void]] = field(default_factory=list)
    total: int = 0
    total_across: int = 0

    ROW = np.dtype([("within", "?"), ("distance", "f4"), ("first", "i8"), ("second", "i8")])

    def add(self, first: NDArray[np.int64], second: NDArray[np.int64], distance: NDArray[np.float32]) -> None:
        differ = self.group_N[first] != self.group_N[second]
        first, second, distance = first[differ], second[differ], distance[differ]
        one, other = self.split_N[first], self.split_N[second]
        rows = np.empty(len(first), self.ROW)
        rows["within"] = (one == other) | (one < 0) | (other < 0)
        rows["distance"], rows["first"], rows["second"] = distance, first, second
        self.total += len(rows)
        self.total_across += int((~rows["within"]).sum())
        self.kept.append(rows)
        if sum(map(len, self.kept)) > 4 * KEPT_PAIRS:
            self.kept = [self._best()]

    def pairs(self) -> Pairs:
        rows = self._best()
        return Pairs(rows["first"], rows["second"], rows["distance"], ~rows["within"], self.total, self.total_across)

    def _best(self) -> NDArray[np.void]:
        return np.sort(np.concatenate([np.empty(0, self.ROW), *self.kept]), order=self.ROW.names)[:KEPT_PAIRS]


def near_pairs(
    points: Points, group_N: NDArray[np.int64], split_N: NDArray[np.int64], threshold: float, *, exact: bool
) -> Pairs:
    """The pairs at most `threshold` apart whose groups differ, by code numbers of groups and splits.

    An index may miss a pair; what it proposes is judged by its exact distance. InputError: faiss is not installed.
    """
    found = _Found(group_N, split_N)
    (_exactly if exact else _by_index)(points, threshold, found)
    return found.pairs()


def _exactly(points: Points, threshold: float, found: _Found) -> None:
    videos = len(points)
    rows = max(1, BLOCK_NUMBERS // max(videos, 1))
    for start in range(0, videos, rows):
        end = min(start + rows, videos)
        distance = distances(points.rows(slice(start, end)), points.rows(slice(start, videos)))
        near = np.triu(distance <= threshold, 1)  # each pair once, and no video with itself
        first, second = np.nonzero(near)
        found.add(first + start, second + start, distance[near])


def _by_index(points: Points, threshold: float, found: _Found) -> None:
    for pattern in patterns(points):
        _by_streams(points, np.array(pattern), threshold, found)


def _by_streams(points: Points, common_S: NDArray[np.bool_], threshold: float, found: _Found) -> None:
    """The pairs that have just these streams in common."""
    members = np.flatnonzero(points.present_NS[:, common_S].all(axis=1))
    if len(members) < 2:
        return
    near = members[_neighbours(np.ascontiguousarray(points.unit_ND[members][:, common_S[points.stream_D]]))]
    first, second = np.repeat(members, near.shape[1]), near.ravel()
    pairs = np.unique(np.sort(np.stack([first, second], axis=1), axis=1), axis=0)
    both = points.present_NS[pairs[:, 0]] & points.present_NS[pairs[:, 1]]
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & (both == common_S).all(axis=1)]
    for start in range(0, len(pairs), 1024):
        one, other = pairs[start : start + 1024].T
        cosine = np.einsum("pd,pd->p", points.unit_ND[one], points.unit_ND[other]) / common_S.sum()
        distance = apart(cosine.astype(np.float32))
        near_enough = distance <= threshold
        found.add(one[near_enough], other[near_enough], distance[near_enough])


def _neighbours(unit_ND: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of each video some that are near it, [N, k], found in fewer numbers and in the cells next to it."""
    faiss, (videos, numbers) = _faiss(), unit_ND.shape
    cells = max(1, min(int(4 * videos**0.5), videos // 39))  # 39 videos a cell are the fewest that faiss trains by
    index = faiss.index_factory(numbers, f"PCA{min(REDUCED, numbers, videos)},IVF{cells},Flat")
    faiss.extract_index_ivf(index).nprobe = PROBED
    index.train(unit_ND)
    index.add(unit_ND)
    found: NDArray[np.int64] = index.search(unit_ND, min(NEIGHBOURS, videos))[1]
    return np.where(found < 0, np.arange(videos)[:, None], found)  # of a cell that holds fewer


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise InputError(
            f"more than {EXACT_VIDEOS:,} videos are compared by an index of faiss, which is not installed; "
            "add it with `pip install 'actionrec[search]'`"
        ) from None
    return faiss
