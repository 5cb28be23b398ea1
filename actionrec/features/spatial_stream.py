"""The stream spatial: frames chosen by the clock or by the motion between them, each as the frame CNN's embedding."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrec.config import Config
from actionrec.features.cost import Cost, counted
from actionrec.features.extractor import DecodedVideo, Fill, Row, finite, times_s
from actionrec.features.frame_cnn import FrameCNN, build_frame_cnn, mean_std
from actionrec.features.sampling import sample


class SpatialExtractor:
    """See extractor.Extractor. With adaptive sampling it needs `motion_px` of the stream flow."""

    def __init__(self, config: Config, device: str, fill: Fill) -> None:
        self._sampling = config.sampling
        network = build_frame_cnn(config.frame.model)
        fill(network)
        mean, std = mean_std(network)
        size, batch = config.frame.size, config.extract.frame_batch
        self._frame = FrameCNN(network, size=size, mean=mean, std=std, device=device, batch=batch)
        self.width: int = self._frame.width

    def __call__(self, clip: DecodedVideo, above: Mapping[str, Mapping[str, Any]]) -> Row:
        exact_s = [int(tick) * clip.time_base for tick in clip.pts_ticks]
        index = sample(self._sampling, exact_s, clip.duration_s, self._motion_px(clip, above).tolist())
        embeddings = finite("frame", self._frame(clip.frames_THWC[index]))
        return {"frame_index": index.astype(np.int32), "time_s": times_s(clip)[index], "embedding": embeddings}

    def _motion_px(self, clip: DecodedVideo, above: Mapping[str, Mapping[str, Any]]) -> NDArray[np.float32]:
        """As it is stored, so that the frames are the same whether flow was computed just now or long ago."""
        if self._sampling.method != "adaptive":  # the others do not look at it
            return np.zeros(len(clip.frames_THWC) - 1, np.float32)
        return np.asarray(above["flow"]["motion_px"], np.float32)


extractor = SpatialExtractor


def cost(config: Config) -> Cost:
    """Of a sampled frame."""
    size = config.frame.size
    return counted(lambda: build_frame_cnn(config.frame.model), (1, 3, size, size))
