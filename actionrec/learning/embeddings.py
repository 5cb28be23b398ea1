"""Video embeddings of several streams, some of which a video may lack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionrec.errors import InputError

# Of one video: stream -> [D], None where it lacks the stream
VideoVectors = Mapping[str, NDArray[np.float32] | None]


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N videos. InputError, naming stream and video, for NaN, infinity or another number of rows."""

    video_ids: Sequence[str]
    vectors: Mapping[str, NDArray[np.float32]]  # stream -> [N, D], zeros where the video lacks the stream
    present: Mapping[str, NDArray[np.bool_]]  # stream -> [N], whether the video has the stream

    def __post_init__(self) -> None:
        for stream, vectors_ND in self.vectors.items():
            if vectors_ND.ndim != 2 or not len(vectors_ND) == len(self.present[stream]) == len(self.video_ids):
                raise InputError(
                    f"the {stream} embeddings have the shape {vectors_ND.shape}, and there are "
                    f"{len(self.video_ids)} videos; make them again with --replace rnn"
                )
            if len(bad := np.flatnonzero(~np.isfinite(vectors_ND).all(axis=1))):
                raise InputError(
                    f"the {stream} embedding of {self.video_ids[bad[0]]!r} holds NaN or infinity; "
                    "make it again with --replace rnn"
                )

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self.vectors)

    def rows(self, index: NDArray[np.int64]) -> "Embeddings":
        """The videos at these places, in that order."""
        return Embeddings(
            [self.video_ids[place] for place in index],
            {stream: vectors_ND[index] for stream, vectors_ND in self.vectors.items()},
            {stream: present_N[index] for stream, present_N in self.present.items()},
        )

    def of(self, streams: Sequence[str]) -> "Embeddings":
        """These streams alone, in that order."""
        return Embeddings(self.video_ids, {s: self.vectors[s] for s in streams}, {s: self.present[s] for s in streams})

    def joined(self, other: "Embeddings") -> "Embeddings":
        """These videos, then the others'; both have the same streams."""
        return Embeddings(
            [*self.video_ids, *other.video_ids],
            {stream: np.concatenate([own, other.vectors[stream]]) for stream, own in self.vectors.items()},
            {stream: np.concatenate([own, other.present[stream]]) for stream, own in self.present.items()},
        )

    def video(self, place: int) -> VideoVectors:
        """One video by itself."""
        return {s: vectors_ND[place] if self.present[s][place] else None for s, vectors_ND in self.vectors.items()}
