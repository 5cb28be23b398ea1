"""What networks on sequences of embeddings are trained on: the sequences of one stream, and their mean and scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.learning.loop import TrainingData, Workers
from actionrec.learning.rnn import Standardized, pad, standardization
from actionrec.storage.root import Root
from actionrec.storage.samples import Sample, Samples, made_with, read_sequences, store_of
from actionrec.storage.store import open_store
from actionrec.training.batches import BEFORE, Arrays, randomness


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
class StepLoader(SequenceLoader):
    """Of each sequence one random step in training, and the whole of it to judge by."""

    seed: int

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[NDArray[np.float32]]:
        whole = super().load(samples, epoch, training)
        if not training or epoch == BEFORE:
            return whole
        return [
            sequence[[int(randomness(self.seed, epoch, sample.video_id).integers(len(sequence)))]]
            for sample, sequence in zip(samples, whole, strict=True)
        ]


@dataclass(frozen=True)
class JointLoader:
    """The sequences of several streams side by side, of videos that have all of them."""

    loaders: tuple[SequenceLoader, ...]
    drop_ragged = False

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[tuple[NDArray[np.float32], ...]]:
        return list(zip(*(loader.load(samples, epoch, training) for loader in self.loaders), strict=True))

    def collate(self, items: Sequence[tuple[NDArray[np.float32], ...]]) -> Arrays:
        arrays: Arrays = {}
        for place, loader in enumerate(self.loaders):
            own = loader.collate([item[place] for item in items])
            arrays |= {f"{name}-{loader.stream}": array for name, array in own.items()}
        return arrays

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tuple(tensors[f"{name}-{loader.stream}"] for loader in self.loaders for name in ("x", "lengths"))


def sequence_loader(root: Root, found: Samples) -> SequenceLoader:
    """The loader of a stream of which `found` are the videos; the first of them says how wide its embeddings are."""
    store, features, first = store_of(root, found.stream), made_with(root, found.stream), found.videos[0]
    sequence = read_sequences(store, found.stream, first.part, [first.video_id], features)[first.video_id]
    return SequenceLoader(root.config, store.url, found.stream, sequence.shape[1], features)


def standardize(networks: Sequence[Standardized], data: TrainingData, workers: Workers) -> None:
    """Give each network mean and scale of each of its inputs over all training frames.

    The batches' inputs are a sequence and its lengths for each of the networks, in their order.
    """
    sums = [torch.zeros(2, len(network.mean), dtype=torch.float64) for network in networks]
    counts = torch.zeros(len(networks), dtype=torch.float64)
    for batch in data.training(BEFORE):
        for place in range(len(networks)):
            x_BLE, lengths_B = (tensor.cpu() for tensor in batch.inputs[2 * place : 2 * place + 2])
            real_BL = (torch.arange(x_BLE.shape[1]) < lengths_B[:, None]) & (batch.weight.cpu()[:, None] > 0)
            frames = x_BLE[real_BL].double()
            sums[place] += torch.stack([frames.sum(0), frames.square().sum(0)])
            counts[place] += len(frames)
    for network, own, count in zip(networks, sums, counts, strict=True):
        device = network.mean.device
        total, steps = (workers.total(tensor.to(device)).cpu() for tensor in (own, count))
        mean, scale = standardization(total[0], total[1], steps.item())
        network.mean.copy_(mean)
        network.scale.copy_(scale)
