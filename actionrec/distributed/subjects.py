"""What can be trained: how each kind of network is built, what its samples are, and how its model is described."""

import abc
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec import schema
from actionrec.config import Config, Motion, Rnn, Training
from actionrec.distributed.feed import BEFORE, Arrays, Loader
from actionrec.errors import InputError
from actionrec.features import motion_cnn
from actionrec.features.stacks import STACK_LENGTH
from actionrec.learning.loop import Data, Workers
from actionrec.learning.rnn import SequenceClassifier, pad, standardization
from actionrec.storage.samples import Sample, read_rows, read_sequences
from actionrec.storage.store import open_store


@dataclass(frozen=True)
class Subject(abc.ABC):
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

    def prepare(self, network: nn.Module, data: Data, workers: Workers) -> None:  # noqa: B027 - not all need it
        """What must be known of the training data before the first epoch. `data` gives epoch BEFORE for that."""

    def kept(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of the trained network's tensors those that make the model."""
        return tensors

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """What builds the network again."""


@dataclass(frozen=True)
class SequenceLoader:
    """A stream's sequences of embeddings, padded to the longest of their batch."""

    config: Config
    store_url: str
    stream: str
    width: int
    features: str  # the fingerprint of their files
    drop_ragged = False

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[NDArray[np.float32]]:
        store = open_store(self.store_url, self.config.storage)
        ids = [sample.video_id for sample in samples]
        sequences = read_sequences(store, self.stream, samples[0].part, ids, self.features)
        for video_id, sequence in sequences.items():
            if sequence.shape[1] != self.width:
                raise InputError(
                    f"{store.url}: {video_id!r} has {self.stream} embeddings of {sequence.shape[1]} numbers, others "
                    f"{self.width}; use --replace {self.stream}"
                )
        return list(sequences.values())

    def collate(self, items: Sequence[NDArray[np.float32]]) -> Arrays:
        x_BLE, lengths = pad(items or [np.zeros((1, self.width), np.float32)])
        return {"x": x_BLE, "lengths": lengths}

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tensors["x"], tensors["lengths"]


@dataclass(frozen=True)
class RnnSubject(Subject):
    """The recurrent network of a stream (V.D)."""

    loader: SequenceLoader

    @property
    def training(self) -> Rnn:
        return self.loader.config.rnn

    def build(self) -> SequenceClassifier:
        return SequenceClassifier(self.training, self.loader.width, len(self.labels))

    def prepare(self, network: nn.Module, data: Data, workers: Workers) -> None:
        """Mean and scale of each input over all training frames."""
        if not self.training.standardize:
            return
        sums = torch.zeros(2, self.loader.width, dtype=torch.float64)
        count = torch.zeros(1, dtype=torch.float64)
        for batch in data.training(BEFORE):
            x_BLE, lengths = (tensor.cpu() for tensor in batch.inputs)
            real_BL = (torch.arange(x_BLE.shape[1]) < lengths[:, None]) & (batch.weight.cpu()[:, None] > 0)
            frames = x_BLE[real_BL].double()
            sums += torch.stack([frames.sum(0), frames.square().sum(0)])
            count += len(frames)
        device = next(network.buffers()).device
        totals = [workers.total(tensor.to(device)).cpu() for tensor in (sums, count)]
        mean, scale = standardization(totals[0][0], totals[0][1], totals[1].item())
        network.get_buffer("mean").copy_(mean)
        network.get_buffer("scale").copy_(scale)

    def describe(self) -> dict[str, Any]:
        return {
            "rnn": dataclasses.asdict(self.training),
            "width": self.loader.width,
            "classes": len(self.labels),
            "stream": self.loader.stream,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class StackLoader:
    """Stacks of ten flows: a random one of each video and epoch for training, the middle one for validation."""

    config: Config
    store_url: str
    height: int
    width: int
    seed: int
    features: str  # the fingerprint of their files
    drop_ragged = True  # BatchNorm wants full batches

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[Any]:
        store = open_store(self.store_url, self.config.storage)
        ids = [sample.video_id for sample in samples]
        rows = read_rows(store, "flow", samples[0].part, ids, schema.FLOW, self.features)
        return [self._item(video_id, rows[video_id], epoch, training) for video_id in ids]

    def _item(
        self, video_id: str, row: Mapping[str, Any], epoch: int, training: bool
    ) -> tuple[NDArray[np.int8], float]:
        bound_px = float(row["bound_px"])
        if not training:
            return motion_cnn.middle_stack(row), bound_px
        digest = hashlib.sha256(f"{self.seed}/{epoch}/{video_id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return motion_cnn.training_stack(row, rng, self.config.motion.flip), bound_px

    def collate(self, items: Sequence[tuple[NDArray[np.int8], float]]) -> Arrays:
        empty = np.zeros((2 * STACK_LENGTH, self.height, self.width), np.int8)
        levels = np.stack([levels for levels, _ in items] or [empty])
        return {"levels": levels, "bound_px": np.array([bound for _, bound in items] or [1.0], np.float32)}

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (motion_cnn.to_px(tensors["levels"], tensors["bound_px"]),)


@dataclass(frozen=True)
class StackSubject(Subject):
    """The motion CNN, from scratch (IV.C)."""

    loader: StackLoader

    @property
    def training(self) -> Motion:
        return self.loader.config.motion

    def build(self) -> nn.Module:
        return motion_cnn.MotionCNN(self.loader.height, self.loader.width, len(self.labels), self.training.dropout)

    def describe(self) -> dict[str, Any]:
        return {
            "height": self.loader.height,
            "width": self.loader.width,
            "length": STACK_LENGTH,
            "dropout": self.training.dropout,
            "classes": len(self.labels),
            "seed": self.seed,
        }
