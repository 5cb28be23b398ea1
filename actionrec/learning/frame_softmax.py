"""A softmax layer on single frame embeddings, averaged over a video: no recurrence, no order.

It is the classifier of two-stream's spatial stream (Simonyan & Zisserman 2014, the last layer alone trained) and of
multi-stream's sound. Axes: B videos, L steps (padded to the longest), N real steps of all of them, E inputs, C classes.
"""

import torch
from torch import nn

from actionrec.learning.rnn import Standardized, trimmed


class FrameSoftmax(Standardized):
    """The mean over a video's steps of softmax(W x + b), with dropout before the layer."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Logarithms [B, C] of the mean probabilities of sequences float32 [B, L, E].

        The first lengths_B (int64, at least 1) steps are real; padding is never seen. Probabilities add up to 1, so
        the result is its own logits: cross-entropy is minus the true class's. Of one step it is log-softmax.
        """
        x_BLE, real_BL = trimmed(x_BLE, lengths_B)
        logits_NC = self.head(self.dropout(self.standardized(x_BLE[real_BL])))
        log_NC = logits_NC.log_softmax(1)
        log_BLC = log_NC.new_full((*real_BL.shape, log_NC.shape[1]), -torch.inf)  # a step that is not there adds 0
        log_BLC[real_BL] = log_NC
        mean_BC: torch.Tensor = log_BLC.logsumexp(1) - real_BL.sum(1, keepdim=True).log()
        return mean_BC
