"""What all streams have in common: each makes one row of features from a decoded clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.errors import Reason, VideoError

Row = dict[str, Any]  # the columns of a stream's table but for video_id
Fill = Callable[[nn.Module], Mapping[str, torch.Tensor]]  # gives a network its weights; what is left belongs to none


class DecodedVideo(Protocol):
    """A decoded video, as `media.decode` gives it. The time of frame k is exactly pts_ticks[k] * time_base seconds."""

    @property
    def frames_THWC(self) -> NDArray[np.uint8]: ...  # noqa: N802 - for a stream that is `of_pictures`, else empty
    @property
    def pts_ticks(self) -> NDArray[np.int64]: ...
    @property
    def time_base(self) -> Fraction: ...
    @property
    def duration_s(self) -> Fraction: ...
    @property
    def audio(self) -> NDArray[np.float32] | None: ...
    @property
    def audio_error(self) -> str | None: ...
    @property
    def audio_reason(self) -> Reason | None: ...


@dataclass(frozen=True)
class Absent:
    """The video lacks what the stream is made from, which is no failure; `why` where it has something of the kind."""

    why: VideoError | None = None


class Extractor(Protocol):
    """Makes one stream, video by video: batches never go beyond one, so that neighbours do not change a value."""

    @property
    def width(self) -> int:
        """Of an embedding; 0 where the stream has none."""

    def __call__(self, clip: DecodedVideo, above: Mapping[str, Mapping[str, Any]]) -> Row | Absent:
        """The video's row. `above`: the rows of the streams that this one is made from, as far as they lend them.

        Raises VideoError where the video cannot have one. Any other exception is judged by actionrec.blame.
        """


def times_s(clip: DecodedVideo) -> NDArray[np.float32]:
    """When each frame is shown, float32 [T]."""
    return (clip.pts_ticks * float(clip.time_base)).astype(np.float32)


def finite(what: str, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The embeddings. VideoError where a number of them is none."""
    if not np.isfinite(embeddings).all():
        raise VideoError(Reason.NON_FINITE, f"the {what} network gave NaN or infinity")
    return embeddings
