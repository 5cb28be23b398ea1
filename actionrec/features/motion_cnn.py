"""The motion CNN: stacks of ten flows in, a 2048-d motion embedding and the classes' logits out (IV.C).

Axes: B or N stacks, L flows in a stack, H height, W width. A stack has 2L channels: x and y of each flow in turn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.features import flow_codec
from actionrec.features.stacks import STACK_LENGTH, stack_starts, stacks_in

EMBEDDING_WIDTH = 2048
HIDDEN = 4096  # the paper's


class MotionCNN(nn.Module):
    """Five convolutions and two hidden layers, for flow of any size.

    The pools round up, so that even the smallest flow keeps one place; at 320x240 the first hidden layer sees 512x8x10
    numbers, at 80x60 it sees 512x2x3.
    """

    def __init__(
        self,
        height: int,
        width: int,
        classes: int,
        dropout: float,
        hidden: int = HIDDEN,
        length: int = STACK_LENGTH,
    ) -> None:
        super().__init__()
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.convolutions = nn.Sequential(
            nn.Conv2d(2 * length, 96, 7, stride=2, padding=3),
            nn.BatchNorm2d(96),
            nn.ReLU(),
            pool,
            nn.Conv2d(96, 256, 5, stride=2, padding=2),
            nn.ReLU(),
            pool,
            nn.Conv2d(256, 512, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(512, 512, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(512, 512, 3, padding=1),
            nn.ReLU(),
            pool,
        )
        places = _after_five_halvings(height) * _after_five_halvings(width)
        self.hidden = nn.Sequential(
            nn.Linear(512 * places, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, EMBEDDING_WIDTH),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(EMBEDDING_WIDTH, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # each of ours has one
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, stacks_px: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, C] of stacks float32 [B, 2L, H, W] as `to_px` gives them."""
        logits: torch.Tensor = self.head(self.dropout(self.embed(stacks_px)))
        return logits

    def embed(self, stacks_px: torch.Tensor) -> torch.Tensor:
        """Motion embeddings float32 [B, 2048]: the second hidden layer."""
        embeddings: torch.Tensor = self.hidden(self.convolutions(stacks_px).flatten(1))
        return embeddings


def to_px(levels: torch.Tensor, bound_px: torch.Tensor) -> torch.Tensor:
    """Stacks int8 [B, 2L, H, W] and bounds float32 [B] as pixels, each flow's mean taken out: float32 [B, 2L, H, W].

    The mean of a flow is mostly the camera's own motion (Simonyan & Zisserman 2014).
    """
    px = levels.float() * (bound_px / flow_codec.LEVELS).view(-1, 1, 1, 1)
    return px - px.mean((2, 3), keepdim=True)


def flip(levels: NDArray[np.int8]) -> NDArray[np.int8]:
    """A stack [2L, H, W] seen in a mirror: left and right change places, and x its sign."""
    mirrored = levels[:, :, ::-1].copy()
    mirrored[0::2] *= -1
    return mirrored


def stack_levels(row: Mapping[str, Any], frame_index: int) -> NDArray[np.int8]:
    """The stack of a frame, int8 [2L, H, W], from a row of the flow table; only its ten pairs are decoded.

    The rules are those of `stacks.stack`: see there for clips of fewer pairs. Raises what flow_codec raises.
    """
    height, width, frames = row["height"], row["width"], row["flow"]
    flow_codec.check_size(height, width)
    if not frames:
        return np.zeros((2 * STACK_LENGTH, height, width), np.int8)
    start = int(stack_starts(len(frames), [frame_index])[0])
    places = np.minimum(start + np.arange(STACK_LENGTH), len(frames) - 1)
    first, last = places[0], places[-1]
    levels = flow_codec.levels(frames[first : last + 1], height, width)[places - first]
    return np.ascontiguousarray(levels.transpose(0, 3, 1, 2)).reshape(2 * STACK_LENGTH, height, width)


def training_stack(row: Mapping[str, Any], rng: np.random.Generator, mirror: bool) -> NDArray[np.int8]:
    """A stack from anywhere in the clip, all equally likely; where `mirror`, every other one is flipped."""
    levels = stack_levels(row, int(rng.integers(stacks_in(len(row["flow"])))))
    return flip(levels) if mirror and rng.random() < 0.5 else levels


def middle_stack(row: Mapping[str, Any]) -> NDArray[np.int8]:
    """The stack in the middle of the clip, by which networks are compared."""
    return stack_levels(row, max(0, (len(row["flow"]) - STACK_LENGTH) // 2))


class MotionEmbedder:
    """The trained network over the sampled frames of one clip. Batches run within the clip."""

    def __init__(self, network: MotionCNN, *, device: str | torch.device = "cpu", batch: int) -> None:
        self._network = network.eval().to(device)
        self._device, self._batch = device, batch

    def __call__(self, row: Mapping[str, Any], frame_index: Sequence[int]) -> NDArray[np.float32]:
        """Embeddings float32 [N, 2048] of the frames `frame_index` of a row of the flow table."""
        embeddings = np.empty((len(frame_index), EMBEDDING_WIDTH), np.float32)
        bound_px = torch.tensor([row["bound_px"]], dtype=torch.float32, device=self._device)
        with torch.inference_mode():
            for start in range(0, len(frame_index), self._batch):
                levels = np.stack([stack_levels(row, index) for index in frame_index[start : start + self._batch]])
                stacks_px = to_px(torch.from_numpy(levels).to(self._device), bound_px)
                embeddings[start : start + self._batch] = self._network.embed(stacks_px).cpu().numpy()
        return embeddings


def _after_five_halvings(size: int) -> int:
    """What two convolutions and three pools, each of which halves and rounds up, leave of a side."""
    for _ in range(5):
        size = (size + 1) // 2
    return size
