"""How unusual a video's embedding is: an autoencoder's error and, beside it, the distance to its nearest neighbours.

Letters: N videos, B videos of a batch, D numbers of a video's embedding (the streams' vectors, concatenated).
Where a video lacks a stream, `present` is False for that stream's numbers, which then count for nothing. The paper has
no anomaly score; docs/decisions/0016-anomaly.md gives the reasons for what is done here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.config import Anomaly
from actionrec.errors import InputError
from actionrec.learning.loop import Batch, Fitted, fit

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Vectors:
    """Embeddings of N videos: `values` float32 [N, D], `present` bool [N, D]. What is not present may hold anything."""

    values: NDArray[np.float32]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Vectors":
        """The videos for which `chosen` [N] is True, or those at these places."""
        return Vectors(self.values[chosen], self.present[chosen])


def check_bottleneck(bottleneck: int, width: int) -> None:
    """InputError where an autoencoder of embeddings of `width` numbers could copy its input."""
    if bottleneck >= width:
        raise InputError(
            f"anomaly.bottleneck is {bottleneck}, and the video embedding has {width} numbers: set it to less than that"
        )


class Autoencoder(nn.Module):
    """A symmetric perceptron, D-hidden-bottleneck-hidden-D, that reconstructs standardised embeddings.

    Buffers: `mean` and `scale` float32 [D] standardise; `known` bool [D] is False for a stream that no video it was
    trained on had, which therefore says nothing of any video.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    known: torch.Tensor

    def __init__(self, width: int, hidden: int, bottleneck: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_bottleneck(bottleneck, width)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("known", torch.ones(width, dtype=torch.bool))
        self.encoder = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, bottleneck)
        )
        self.decoder = nn.Sequential(
            nn.Linear(bottleneck, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )

    def standardize(self, values_BD: torch.Tensor, present_BD: torch.Tensor) -> torch.Tensor:
        """[B, D] with mean 0 and deviation 1 over the normal training videos, and 0 where a number is missing."""
        return torch.where(present_BD & self.known, (values_BD - self.mean) / self.scale, 0.0)

    def forward(self, values_BD: torch.Tensor, present_BD: torch.Tensor) -> torch.Tensor:
        """The mean squared error of the reconstruction [B] over the numbers that are present; 0 where none is."""
        inputs_BD = self.standardize(values_BD, present_BD)
        counted_BD = (present_BD & self.known).to(inputs_BD.dtype)
        reconstructed_BD: torch.Tensor = self.decoder(self.encoder(inputs_BD))
        errors_BD = (reconstructed_BD - inputs_BD).square() * counted_BD
        return errors_BD.sum(1) / counted_BD.sum(1).clamp(min=1)


@dataclass(frozen=True)
class VectorBatches:
    """Embeddings in memory as loop.TrainingData: the order of an epoch follows from (seed, epoch) alone."""

    train: Vectors
    val: Vectors
    size: int
    seed: int

    def training(self, epoch: int) -> Iterator[Batch]:
        return self._batches(self.train, np.random.default_rng((self.seed, epoch)).permutation(len(self.train)))

    def validation(self, epoch: int) -> Iterator[Batch]:
        return self._batches(self.val, np.arange(len(self.val)))

    def _batches(self, vectors: Vectors, order: NDArray[np.int64]) -> Iterator[Batch]:
        for start in range(0, len(order), self.size):
            chosen = order[start : start + self.size]
            inputs = (torch.from_numpy(vectors.values[chosen]), torch.from_numpy(vectors.present[chosen]))
            yield Batch(inputs, torch.zeros(len(chosen), dtype=torch.int64), torch.ones(len(chosen)))


def reconstruct(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """An objective for loop.fit: each video's error [B], and no hits, since there is nothing to be right about."""
    errors_B = network(*batch.inputs)
    return errors_B, torch.zeros_like(errors_B)


def train(normal_train: Vectors, normal_val: Vectors, anomaly: Anomaly, seed: int) -> tuple[Autoencoder, Fitted]:
    """An autoencoder of the normal videos, in eval mode, with the weights of the best epoch.

    Raises:
        InputError: anomaly.bottleneck is not smaller than the embedding.
        ActionrecError: the loss is NaN or infinite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder(normal_train.values.shape[1], anomaly.hidden, anomaly.bottleneck, anomaly.dropout)
        _fit_scale(network, normal_train)
        data = VectorBatches(normal_train, normal_val, anomaly.batch, seed)
        fitted = fit(network, data, anomaly, seed=seed, objective=reconstruct)
    network.load_state_dict(fitted.tensors)
    return network.eval(), fitted


def _fit_scale(network: Autoencoder, normal: Vectors) -> None:
    """Mean and deviation of each number over the normal training videos that have it; 1 for a constant one."""
    values = np.ma.masked_array(normal.values.astype(np.float64), ~normal.present)
    is_constant = values.min(0) == values.max(0)  # the deviation of equal numbers may be a rounding error, not 0
    scale = np.where(is_constant.filled(True), 1.0, values.std(0).filled(1.0))
    network.mean.copy_(torch.from_numpy(values.mean(0).filled(0.0)))
    network.scale.copy_(torch.from_numpy(scale))
    network.known.copy_(torch.from_numpy(normal.present.any(0)))


def scorable(network: Autoencoder, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each video [N] has a stream that the autoencoder knows; the others' scores would mean nothing."""
    return cast(NDArray[np.bool_], (present & network.known.numpy()).any(1))


@torch.inference_mode()
def score(network: Autoencoder, values: NDArray[np.float32], present: NDArray[np.bool_]) -> Scores:
    """Each video's reconstruction error [N]: the higher, the more unusual.

    One at a time: how a matrix product rounds depends on its size, and no score may depend on who is scored beside it.
    """
    network.eval()
    errors = [
        network(torch.tensor(v)[None], torch.tensor(p)[None]).item() for v, p in zip(values, present, strict=True)
    ]
    return np.array(errors, np.float64)


@torch.inference_mode()
def neighbor_score(network: Autoencoder, normal_train: Vectors, videos: Vectors, neighbors: int) -> Scores:
    """Each video's mean distance [N] to its `neighbors` nearest normal training videos (to all, if they are fewer).

    Distances are Euclidean in the autoencoder's standardised space. A training video is its own nearest neighbour.
    """
    known, asked = (
        network.standardize(torch.from_numpy(v.values), torch.from_numpy(v.present)).double().numpy()
        for v in (normal_train, videos)
    )
    if len(asked) == 0:
        return np.zeros(0)
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(neighbors, len(known))).fit(known)
    return cast(Scores, found.kneighbors(asked)[0].mean(1))


@dataclass(frozen=True)
class Separation:
    """How well scores tell unusual videos from usual ones; None where there are none of either."""

    n_unusual: int
    n_usual: int
    auroc: float | None
    average_precision: float | None


def separation(unusual: Scores, usual: Scores) -> Separation:
    """AUROC and average precision of the unusual videos' scores [N1] against the usual ones' [N2]."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if len(unusual) == 0 or len(usual) == 0:
        return Separation(len(unusual), len(usual), None, None)
    truth = np.repeat([1, 0], [len(unusual), len(usual)])
    scores = np.concatenate([unusual, usual])
    return Separation(
        len(unusual),
        len(usual),
        float(roc_auc_score(truth, scores)),
        float(average_precision_score(truth, scores)),
    )
