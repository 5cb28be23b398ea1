"""Small sequences held in memory, as the training loop takes them: for tests of networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from actionrec.learning.loop import Batch
from actionrec.learning.rnn import pad

Sequences = list[np.ndarray[Any, np.dtype[np.float32]]]
CLASSES = 4


@dataclass(frozen=True)
class Overfit:
    """Validation on what was trained on, the same batch every epoch."""

    batch: Batch

    def training(self, epoch: int) -> Sequence[Batch]:
        return [self.batch]

    validation = training


def tensors(sequences: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch [B, L, E] and its lengths [B]."""
    x_BLE, lengths_B = pad(sequences)
    return torch.from_numpy(x_BLE), torch.from_numpy(lengths_B)


def noise(lengths: Sequence[int], width: int, seed: int = 0) -> Sequences:
    random = np.random.default_rng(seed)
    return [random.normal(1, 2, size=(length, width)).astype(np.float32) for length in lengths]


def twenty(width: int, seed: int = 0) -> tuple[Sequences, torch.Tensor]:
    """Noise of 1 to 9 steps, twenty times, with one of 4 classes that nothing in it tells, int64 [20]."""
    lengths = np.random.default_rng(seed).integers(1, 10, size=20)
    return noise(lengths.tolist(), width, seed), torch.arange(20) % CLASSES


def longer(x_BLE: torch.Tensor, lengths_B: torch.Tensor, steps: int, garbage: float) -> torch.Tensor:
    """The same sequences with `steps` more steps of padding, and `garbage` in all of it."""
    longer = torch.nn.functional.pad(x_BLE, (0, 0, 0, steps))
    padding_BL = torch.arange(longer.shape[1]) >= lengths_B[:, None]
    return longer.masked_fill(padding_BL[:, :, None], garbage)
