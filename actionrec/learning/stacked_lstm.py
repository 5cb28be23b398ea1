"""Multi-stream's recurrent network (Wu et al. 2016): LSTM layers of different sizes, the paper's 1024 and then 512.

torch's own LSTM has layers of one size only, and `SequenceClassifier` is that. A chain of layers in its place would
give other names to the tensors of stored networks, so this is a class beside it. Axes as in `rnn`.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from actionrec.learning.rnn import Standardized


class StackedLstm(Standardized):
    """LSTM layers of `units` each, in one direction.

    Dropout, packing and states at the beginning are as in `SequenceClassifier`; with layers of equal size the values
    are its, too.
    """

    def __init__(self, width: int, units: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__(width)
        self.embedding_width = units[-1]
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(nn.LSTM(taken, given) for taken, given in pairwise([width, *units]))
        self.head = nn.Linear(self.embedding_width, classes)

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of sequences float32 [B, L, E], the first lengths_B (int64, at least 1) steps real."""
        logits: torch.Tensor = self.head(self.dropout(self.embed(x_BLE, lengths_B)))
        return logits

    def embed(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Video embeddings [B, D]: the last layer's last hidden state."""
        x_BLE = self.standardized(x_BLE)
        steps = pack_padded_sequence(x_BLE, lengths_B.cpu(), batch_first=True, enforce_sorted=False)
        for layer in self.layers:
            steps, (last_1BU, _) = layer(PackedSequence(self.dropout(steps.data), *steps[1:]))
        embeddings: torch.Tensor = last_1BU[0]
        return embeddings
