"""The stream flow: optical flow between consecutive frames, encoded, and how far each pair of them moves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrec.config import DIS, Config
from actionrec.features import flow_codec
from actionrec.features.cost import Cost
from actionrec.features.extractor import DecodedVideo, Fill, Row, times_s
from actionrec.features.flow import DisFlow, FlowNet, PtlFlow, load_ptlflow, mean_displacement_px

# Each was measured once on 2 shared cores, on frames of 320x240: docs/lab-book.md.
NATIVE = 320 * 240
DIS_S = 1 / 300  # a pair on a core
FLOWNET2_GFLOP = 82.6  # a pair; other networks of ptlflow are taken as this one
STORED_BYTES = 4200.0  # a pair


class FlowExtractor:
    """See extractor.Extractor."""

    width = 0

    def __init__(self, config: Config, device: str, fill: Fill) -> None:
        self._settings, self._batch = config.flow, config.extract.flow_batch
        self._flow = _network(config, device, fill)

    def __call__(self, clip: DecodedVideo, above: Mapping[str, Mapping[str, Any]]) -> Row:
        """Chunk by chunk: 36 s of raw flow would be 550 MB."""
        frames, settings = clip.frames_THWC, self._settings
        motion_px: list[NDArray[np.float64]] = [np.zeros(0)]
        encoded: list[bytes] = []
        for start in range(0, len(frames) - 1, self._batch):
            flow_px = self._flow(frames[start : start + self._batch + 1], self._batch)
            motion_px.append(mean_displacement_px(flow_px))
            encoded += flow_codec.encode(
                flow_px,
                bound_px=settings.bound_px,
                quality=settings.jpeg_quality,
                stored_width=settings.stored_width,
                stored_height=settings.stored_height,
            )
        return {
            "time_s": times_s(clip)[1:],
            "motion_px": np.concatenate(motion_px).astype(np.float32),
            "flow": encoded,
            "bound_px": settings.bound_px,
            "height": settings.stored_height,
            "width": settings.stored_width,
            "codec": flow_codec.CODEC,
        }


extractor = FlowExtractor


def cost(config: Config) -> Cost:
    """Of a pair of frames."""
    seen = config.clip.width * config.clip.height / NATIVE
    stored = STORED_BYTES * config.flow.stored_width * config.flow.stored_height / NATIVE
    if config.flow.model == DIS:
        return Cost(0, core_s=DIS_S * seen, stored_bytes=stored)
    return Cost(0, FLOWNET2_GFLOP * seen, stored_bytes=stored)


def _network(config: Config, device: str, fill: Fill) -> FlowNet:
    if config.flow.model == DIS:
        return DisFlow()
    network = load_ptlflow(config.flow.model)
    fill(network)
    return PtlFlow(network, device)
