"""video2vec (Hu et al. 2016): sequences of several streams in, a vector in the space of the classes' names out.

Axes: B videos, L steps (padded to the longest), E inputs of a stream, U units of its encoder, D numbers of a class
vector, C classes. A class is named by a fixed vector, so that one without training videos can be asked for as well.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from actionrec.errors import InputError
from actionrec.learning.loop import Batch, Objective
from actionrec.learning.rnn import Standardized


class Video2vec(nn.Module):
    """A GRU encoder a stream, their last states side by side, and a dense layer into the space of the class vectors.

    Dropout stands before the encoders and before the dense layer, as in the recurrent networks of Table I (V.D). The
    buffer `class_vectors` is float32 [C, D], of any lengths but 0; `encoders.STREAM` has the buffers of `Standardized`.
    """

    class_vectors: torch.Tensor

    def __init__(
        self, widths: Mapping[str, int], units: int, class_vectors_CD: NDArray[np.float32], dropout: float
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({stream: Encoder(width, units, dropout) for stream, width in widths.items()})
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(units * len(widths), class_vectors_CD.shape[1])
        self.register_buffer("class_vectors", torch.from_numpy(class_vectors_CD).clone())

    def forward(self, *sequences: torch.Tensor) -> torch.Tensor:
        """Cosines [B, C] of each video to each class; `sequences` as `embed` takes them."""
        return cosines(self.embed(*sequences), self.class_vectors)

    def embed(self, *sequences: torch.Tensor) -> torch.Tensor:
        """Vectors [B, D] of videos.

        `sequences` are x_BLE float32 and lengths_B int64 of each stream in turn, in the order of `widths`. A stream of
        length 0 is one that the video lacks: its state counts as zeros.
        """
        pairs = zip(self.encoders.values(), sequences[::2], sequences[1::2], strict=True)
        states = torch.cat([encoder(x_BLE, lengths_B) for encoder, x_BLE, lengths_B in pairs], 1)
        vectors: torch.Tensor = self.dense(self.dropout(states))
        return vectors


class Encoder(Standardized):
    """The last state of a GRU of one layer."""

    def __init__(self, width: int, units: int, dropout: float) -> None:
        super().__init__(width)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.GRU(width, units, batch_first=True)

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """States [B, U]; zeros where the length is 0. L may be 0 where all lengths are.

        Such a video is encoded as one step of zeros and its state set to 0. Left out of the batch it would leave a
        worker that meets nothing else without a gradient, and DistributedDataParallel waits for one.
        """
        if x_BLE.shape[1] == 0:
            x_BLE = x_BLE.new_zeros(len(x_BLE), 1, x_BLE.shape[2])
        lacking_B1 = (lengths_B == 0).to(x_BLE.device)[:, None]
        x_BLE = self.dropout(self.standardized(x_BLE.masked_fill(lacking_B1[:, :, None], 0.0)))
        packed = pack_padded_sequence(x_BLE, lengths_B.cpu().clamp(min=1), batch_first=True, enforce_sorted=False)
        _, last_1BU = self.recurrent(packed)
        states: torch.Tensor = last_1BU[0].masked_fill(lacking_B1, 0.0)
        return states


def cosines(vectors_BD: torch.Tensor, class_vectors_CD: torch.Tensor) -> torch.Tensor:
    """[B, C], for any classes, those of training or others."""
    return F.normalize(vectors_BD, dim=1) @ F.normalize(class_vectors_CD, dim=1).T


def max_margin(cosines_BC: torch.Tensor, target_B: torch.Tensor, margin: float) -> torch.Tensor:
    """[B]: by how much each wrong class comes within `margin` of the true one, added up over the wrong ones."""
    true_B1 = cosines_BC.gather(1, target_B[:, None])
    hinge_BC = (margin - true_B1 + cosines_BC).clamp(min=0)
    return hinge_BC.scatter(1, target_B[:, None], 0.0).sum(1)


def ranked(margin: float) -> Objective:
    """The objective by which `loop.fit` trains the network; the class of the largest cosine is right or not."""

    def objective(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        cosines_BC = network(*batch.inputs)
        return max_margin(cosines_BC, batch.target, margin), (cosines_BC.argmax(1) == batch.target).float()

    return objective


def orthonormal(classes: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Class vectors that say nothing of their names, float32 [C, D]: of length 1, each at right angles to all others.

    InputError where there is no room for so many.
    """
    if classes > dimension:
        raise InputError(
            f"{classes} classes have no orthonormal vectors of {dimension} numbers; give them {classes} or more"
        )
    q_DC, r_CC = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, classes)))
    signed_DC = q_DC * np.where(np.diag(r_CC) < 0, -1.0, 1.0)  # the sign is each LAPACK's own
    return np.ascontiguousarray(signed_DC.T, np.float32)
