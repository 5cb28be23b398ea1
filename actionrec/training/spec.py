"""What is to be trained: how a network is built, what its samples are, and how its model is described."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from actionrec.config import Training
from actionrec.learning.loop import Objective, TrainingData, Workers, classify
from actionrec.storage.samples import Sample
from actionrec.training.batches import Loader


@dataclass(frozen=True)
class TrainingSpec(abc.ABC):
    """One network to be trained, before it exists. Travels to workers, so it holds names and numbers only."""

    stage: str  # that makes it
    name: str  # for a person
    folder: str  # where the model goes, under the root's output
    fingerprint: str
    seed: int
    labels: Sequence[str]
    train: Sequence[Sample]
    val: Sequence[Sample]
    loader: Loader

    @property
    @abc.abstractmethod
    def training(self) -> Training: ...

    @abc.abstractmethod
    def build(self) -> nn.Module:
        """The untrained network, from torch's current seed."""

    @property
    def objective(self) -> Objective:
        """What is minimised, and what counts as right."""
        return classify

    def prepare(self, network: nn.Module, data: TrainingData, workers: Workers) -> None:  # noqa: B027 - not all need it
        """What must be known of the training data before the first epoch. `data` gives epoch BEFORE for that."""

    def kept(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of the trained network's tensors those that make the model."""
        return tensors

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """What builds the network again."""
