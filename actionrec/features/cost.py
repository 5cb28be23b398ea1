"""What one step of a stream costs: counted operations, so that a run can be forecast before it is begun."""

from __future__ import annotations  # torch is imported late: a forecast looks most costs up

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Cost:
    """Of one pair of frames, one sampled frame, or one example of sound."""

    width: int  # of what is stored, in float32 numbers; 0: no embedding
    gflop: float = 0.0
    core_s: float | None = None  # of a core, whatever the device: not a network
    stored_bytes: float | None = None  # None: as the width says


def counted(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Cost:
    """Of one forward pass of a network over an input of this shape. Nothing is computed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        found = build()(torch.empty(shape))
    return Cost(int(found.shape[-1]), counter.get_total_flops() / 1e9)
