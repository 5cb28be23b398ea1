"""Video embeddings as search sees them, and how far apart two are.

Each stream is centred and scaled over the training videos and made as long as 1; the streams stand side by side. Two
videos are 1 - cos apart by the streams that both have, which is the mean of the streams' own: a stream that one of them
lacks says nothing, as in fusion. 0 is the same direction, 1 a right angle, 2 the opposite.

Axes: N and M videos, S streams, D numbers of all streams together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionrec.learning.embeddings import Embeddings, VideoVectors

Distances = NDArray[np.float32]
LEAST_LENGTH = 1e-6  # of a standardised vector: a shorter one has no direction


@dataclass(frozen=True)
class Points:
    """N videos."""

    unit_ND: NDArray[np.float32]  # each stream's part as long as 1, or zeros where it is lacking
    present_NS: NDArray[np.bool_]  # a vector of no direction counts as lacking
    stream_D: NDArray[np.int64]  # which stream each number is of

    def __len__(self) -> int:
        return len(self.unit_ND)

    def rows(self, chosen: NDArray[np.int64] | slice) -> "Points":
        return Points(self.unit_ND[chosen], self.present_NS[chosen], self.stream_D)


@dataclass(frozen=True)
class Space:
    """What the streams' embeddings are centred and scaled by."""

    mean: Mapping[str, NDArray[np.float32]]  # [D of the stream]
    scale: Mapping[str, NDArray[np.float32]]  # 1 where a dimension is constant

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self.mean)

    def points(self, embeddings: Embeddings) -> Points:
        parts, present = [], []
        for stream in self.streams:
            unit_ND = (embeddings.vectors[stream] - self.mean[stream]) / self.scale[stream]
            length_N = np.linalg.norm(unit_ND, axis=1)
            there_N = embeddings.present[stream] & (length_N > LEAST_LENGTH)
            unit_ND[~there_N] = 0
            unit_ND[there_N] /= length_N[there_N, None]
            parts.append(unit_ND)
            present.append(there_N)
        stream_D = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
        return Points(np.concatenate(parts, axis=1), np.stack(present, axis=1), stream_D)

    def point(self, video: VideoVectors) -> Points:
        """One video; a stream that it does not name is one that it lacks."""
        vectors, present = {}, {}
        for stream in self.streams:
            vector_D = video.get(stream)
            present[stream] = np.array([vector_D is not None])
            vectors[stream] = np.zeros_like(self.mean[stream])[None] if vector_D is None else vector_D[None]
        return self.points(Embeddings(["the video"], vectors, present))


def space_of(embeddings: Embeddings, training: NDArray[np.int64]) -> Space:
    """The space of all streams of `embeddings`, by the videos at the places `training`."""
    mean, scale = {}, {}
    for stream, vectors_ND in embeddings.vectors.items():
        known = training[embeddings.present[stream][training]]
        found_ND = vectors_ND[known].astype(np.float64) if len(known) else np.zeros((1, vectors_ND.shape[1]))
        deviation_D = found_ND.std(axis=0)
        mean[stream] = found_ND.mean(axis=0).astype(np.float32)
        scale[stream] = np.where(deviation_D > 0, deviation_D, 1).astype(np.float32)
    return Space(mean, scale)


ROUNDING = 1e-6  # of float32 products of vectors of length 1: up to 3e-7 between equal ones of 3,072 numbers


def distances(one: Points, other: Points) -> Distances:
    """float32 [N, M], 0 to 2; infinity where two videos have no stream in common."""
    common_NM = one.present_NS.astype(np.float32) @ other.present_NS.astype(np.float32).T
    found_NM = one.unit_ND @ other.unit_ND.T
    np.divide(found_NM, common_NM, out=found_NM, where=common_NM > 0)
    apart(found_NM)[common_NM == 0] = np.inf
    return found_NM


def apart(cosine: Distances) -> Distances:
    """Distances 0 to 2 of cosines, in their place. What rounding leaves between equal vectors is 0."""
    np.subtract(1, cosine, out=cosine)
    np.clip(cosine, 0, 2, out=cosine)
    cosine[cosine < ROUNDING] = 0
    return cosine


def nearest(asked: Points, points: Points, top: int) -> tuple[NDArray[np.int64], Distances]:
    """Places [<= top] and distances of the videos nearest to the one of `asked`, of equals the first one first.

    Exact whatever N is: one product with every video, which no index would be built in less time than.
    """
    distance_N = distances(asked, points)[0]
    order = np.argsort(distance_N, kind="stable")[:top]
    order = order[np.isfinite(distance_N[order])]
    return order, distance_N[order]


def patterns(points: Points) -> Sequence[tuple[bool, ...]]:
    """Every set of streams that two of the videos may have in common, without the empty one."""
    own = {tuple(row) for row in np.unique(points.present_NS, axis=0).tolist()}
    both = {tuple(a and b for a, b in zip(one, other, strict=True)) for one in own for other in own}
    return sorted((each for each in both if any(each)), reverse=True)
