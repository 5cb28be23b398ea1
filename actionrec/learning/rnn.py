"""The recurrent networks of Table I: a sequence of embeddings in, a video embedding and the classes' logits out.

Axes: B sequences, L steps (padded to the longest), E inputs, U hidden units, D the video embedding, C classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from actionrec.config import Rnn


class Standardized(nn.Module):
    """A network whose buffers `mean` and `scale` float32 [E] standardise its input; they are 0 and 1 until set."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def standardized(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape whose last axis is E."""
        return (x - self.mean) / self.scale


class SequenceClassifier(Standardized):
    """LSTM or GRU, one layer or several, one direction or both, with or without self-attention after the input.

    Dropout stands before the input, between the layers and before the dense layer (V.D). Sequences are packed, so that
    padding is never seen; states begin at zero (docs/decisions/0011-recurrent-networks.md).
    """

    def __init__(self, rnn: Rnn, width: int, classes: int) -> None:
        super().__init__(width)
        self.embedding_width = rnn.units * (2 if rnn.bidirectional else 1)
        self.dropout = nn.Dropout(rnn.dropout)
        self.attention = SelfAttention(width, rnn.heads) if rnn.attention else None
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[rnn.cell]
        self.recurrent = kind(
            width,
            rnn.units,
            rnn.layers,
            batch_first=True,
            dropout=rnn.dropout if rnn.layers > 1 else 0.0,
            bidirectional=rnn.bidirectional,
        )
        self.head = nn.Linear(self.embedding_width, classes)

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of sequences float32 [B, L, E], the first lengths_B (int64, at least 1) steps real."""
        logits: torch.Tensor = self.head(self.dropout(self.embed(x_BLE, lengths_B)))
        return logits

    def embed(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Video embeddings [B, D]: the last layer's last state, of both directions side by side."""
        x_BLE = self.dropout(self.standardized(x_BLE))
        if self.attention is not None:
            x_BLE = self.attention(x_BLE, lengths_B)
        packed = pack_padded_sequence(x_BLE, lengths_B.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.recurrent(packed)
        h_SBU = last[0] if isinstance(last, tuple) else last  # S: layers x directions; an LSTM's cell state is its own
        directions = 2 if self.recurrent.bidirectional else 1
        embeddings: torch.Tensor = h_SBU[-directions:].transpose(0, 1).flatten(1)
        return embeddings


class SelfAttention(nn.Module):
    """Every step looks at all steps: heads of scaled dot products, joined by a matrix and added to their input.

    H heads of E / H numbers each (rounded up), as in "Attention is all you need", 3.2.2. Of one head the matrix that
    joins would be a second factor of its values', so it has none.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, inner = heads, -(-width // heads) * heads
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.join = nn.Linear(inner, width, bias=False) if heads > 1 else nn.Identity()

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """x_BLE and what each step saw, [B, longest, E]. Steps after a sequence's end are neither seen nor of use."""
        x_BLE, real_BL = trimmed(x_BLE, lengths_B)
        x_BLE = x_BLE.masked_fill(~real_BL[:, :, None], 0.0)  # a weight of 0 would not hide NaN
        query, key, value = (
            project(x_BLE).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, H, L, E / H]
            for project in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=real_BL[:, None, None])
        joined: torch.Tensor = self.join(seen.transpose(1, 2).flatten(2))
        return x_BLE + joined


def trimmed(x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch cut to its longest sequence, and which of its steps are real, bool [B, longest].

    Of a longer batch the padding would change the rounding of sums over the steps.
    """
    x_BLE = x_BLE[:, : int(lengths_B.max())]
    return x_BLE, torch.arange(x_BLE.shape[1], device=x_BLE.device) < lengths_B.to(x_BLE.device)[:, None]


def standardization(sum_E: torch.Tensor, squares_E: torch.Tensor, count: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation, float32 [E], from float64 sums over `count` steps; a constant input scales by 1."""
    mean_E = sum_E / count
    deviation_E = (squares_E / count - mean_E.square()).clamp(min=0).sqrt()
    constant_E = deviation_E <= 1e-6 * mean_E.abs().clamp(min=1e-6)
    return mean_E.float(), torch.where(constant_E, 1.0, deviation_E).float()


def parameters(rnn: Rnn, width: int, classes: int) -> int:
    """How many numbers such a network learns. Allocates none of them."""
    with torch.device("meta"):
        network = SequenceClassifier(rnn, width, classes)
    return sum(parameter.numel() for parameter in network.parameters())


def pad(sequences: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sequences float32 [L_i, E] as one array [B, L, E], zeros after each one's end, and lengths int64 [B]."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    x_BLE = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]), np.float32)
    for row, sequence in zip(x_BLE, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x_BLE, lengths
