"""The recurrent networks (V.D): what they are trained on, and their training, which ends in video embeddings."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.config import Config, Rnn
from actionrec.errors import InputError
from actionrec.learning.loop import TrainingData, Workers
from actionrec.learning.rnn import SequenceClassifier, pad, standardization
from actionrec.storage import layout
from actionrec.storage.models import Model, finished, seeded
from actionrec.storage.root import Root, begin, made_from, record
from actionrec.storage.samples import Sample, learnt_inputs, made_with, read_sequences, samples, store_of
from actionrec.storage.store import open_store
from actionrec.training.batches import BEFORE, Arrays
from actionrec.training.embed import embed_videos
from actionrec.training.progress import NOBODY, TrainingListener
from actionrec.training.ray_train import train
from actionrec.training.spec import TrainingSpec


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
class RnnSpec(TrainingSpec):
    """The recurrent network of a stream (V.D)."""

    loader: SequenceLoader

    @property
    def training(self) -> Rnn:
        return self.loader.config.rnn

    def build(self) -> SequenceClassifier:
        return SequenceClassifier(self.training, self.loader.width, len(self.labels))

    def prepare(self, network: nn.Module, data: TrainingData, workers: Workers) -> None:
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


def train_rnn(
    root: Root, streams: Sequence[str] = (), *, verbose: bool = False, listener: TrainingListener = NOBODY
) -> list[Model]:
    """Train a recurrent network for each of `streams` (default: all that are fused) and each seed.

    Only these are replaced, if any are to be. Once the networks of all fused streams are there, embeds every video. A
    video without a stream trains none of it.
    """
    if unknown := set(streams) - set(root.config.streams):
        raise InputError(f"--stream {min(unknown)}: it is not among streams={list(root.config.streams)}")
    chosen = tuple(streams) or root.config.streams
    for stream in chosen:
        samples(root, stream)  # refuses what makes no sense before anything is deleted or begun
    root = root.sparing([layout.rnn(stream) for stream in root.config.streams if stream not in chosen])
    made = {stream: begin(root, layout.rnn(stream), learnt_inputs(root, stream), last=False) for stream in chosen}
    root.save_config()
    specs = [_rnn(root, stream, seed, made[stream]) for stream in chosen for seed in root.config.seeds]
    trained = train(root, specs, verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    if not untrained(root):
        networks = [layout.rnn(stream) for stream in root.config.streams]
        fingerprint = begin(root, "embeddings", made_from(root, *networks))
        embed_videos(root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage)
    return trained


def untrained(root: Root) -> list[str]:
    """The fused streams whose recurrent networks are not all finished, one for each seed: no video is embedded yet."""
    return [
        stream
        for stream in root.config.streams
        if not all(_is_finished(root, layout.rnn(stream), seed) for seed in root.config.seeds)
    ]


def _rnn(root: Root, stream: str, seed: int, fingerprint: str) -> RnnSpec:
    found = samples(root, stream)
    store = store_of(root, stream)
    first = found.videos[0]
    features = made_with(root, stream)
    width = read_sequences(store, stream, first.part, [first.video_id], features)[first.video_id].shape[1]
    network = layout.rnn(stream)
    return RnnSpec(
        network,
        f"{network}, seed {seed}",
        layout.model(network, root.further(seed)),
        seeded(fingerprint, seed),
        seed,
        found.labels,
        found.of("train"),
        found.of("val"),
        SequenceLoader(root.config, store.url, stream, width, features),
    )


def _is_finished(root: Root, network: str, seed: int) -> bool:
    if not root.begun(network):
        return False
    folder = layout.model(network, root.further(seed))
    return finished(root.output, folder, seeded(record(root, network)["fingerprint"], seed))
