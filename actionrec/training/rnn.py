"""The recurrent networks (V.D): what they are trained on, and their training, which ends in video embeddings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from actionrec.config import Rnn
from actionrec.errors import InputError
from actionrec.learning.loop import TrainingData, Workers
from actionrec.learning.rnn import SequenceClassifier
from actionrec.storage import layout
from actionrec.storage.models import Model, finished, seeded
from actionrec.storage.root import Root, begin, made_from, record
from actionrec.storage.samples import learnt_inputs, samples
from actionrec.storage.stages import named
from actionrec.training.embed import embed_videos
from actionrec.training.progress import NOBODY, TrainingListener
from actionrec.training.ray_train import train
from actionrec.training.sequences import SequenceLoader, sequence_loader, standardize
from actionrec.training.spec import TrainingSpec


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
        if self.training.standardize:
            standardize([cast("SequenceClassifier", network)], data, workers)

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
    video without a stream trains none of it. InputError where a stage is to be replaced that is not made.
    """
    if unknown := set(streams) - set(root.config.streams):
        raise InputError(f"--stream {min(unknown)}: it is not among streams={list(root.config.streams)}")
    chosen = tuple(streams) or root.config.streams
    _refuse_in_vain(root, chosen)
    for stream in chosen:
        samples(root, stream)  # refuses what makes no sense before anything is deleted or begun
    root = root.sparing([layout.rnn(stream) for stream in root.config.streams if stream not in chosen])
    made = {stream: begin(root, layout.rnn(stream), learnt_inputs(root, stream), last=False) for stream in chosen}
    root.save_config()
    specs = [_rnn(root, stream, seed, made[stream]) for stream in chosen for seed in root.config.seeds]
    trained = train(root, specs, verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    networks = [layout.rnn(stream) for stream in root.config.streams]
    if all(_is_finished(root, network, seed) for network in networks for seed in root.config.seeds):
        fingerprint = begin(root, "embeddings", made_from(root, *networks))
        embed_videos(root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage)
    return trained


def _refuse_in_vain(root: Root, chosen: Sequence[str]) -> None:
    """InputError about a --replace that --stream leaves without effect. `--replace rnn` means what is chosen of it."""
    if set(named("rnn")) <= set(root.replaced):
        return
    for stream in (stream for stream in root.config.streams if stream not in chosen):
        network = layout.rnn(stream)
        if network in root.replaced:
            raise InputError(
                f"--replace {network}: --stream leaves {stream} out; add --stream {stream}, or leave this --replace out"
            )
        if "embeddings" in root.replaced and not all(_is_finished(root, network, seed) for seed in root.config.seeds):
            raise InputError(
                f"--replace embeddings: they are made once every network is there, and {network} is not; leave "
                "--stream or this --replace out"
            )


def _rnn(root: Root, stream: str, seed: int, fingerprint: str) -> RnnSpec:
    found = samples(root, stream)
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
        sequence_loader(root, found),
    )


def _is_finished(root: Root, network: str, seed: int) -> bool:
    if not root.begun(network):
        return False
    folder = layout.model(network, root.further(seed))
    return finished(root.output, folder, seeded(record(root, network)["fingerprint"], seed))
