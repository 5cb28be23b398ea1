"""What the systems of Table II share: a softmax layer on single steps, and how their networks are stored and read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.config import Training
from actionrec.errors import InputError
from actionrec.learning.frame_softmax import FrameSoftmax
from actionrec.learning.loop import TrainingData, Workers
from actionrec.storage import layout, models
from actionrec.storage.root import Root
from actionrec.storage.samples import Samples
from actionrec.training.sequences import StepLoader, sequence_loader, standardize
from actionrec.training.spec import TrainingSpec
from actionrec.weights.tensors import fill


@dataclass(frozen=True)
class FrameSpec(TrainingSpec):
    """A softmax layer on single steps of a stream: a random one of each video and epoch."""

    loader: StepLoader
    knobs: Training

    @property
    def training(self) -> Training:
        return self.knobs

    def build(self) -> FrameSoftmax:
        return FrameSoftmax(self.loader.width, len(self.labels), self.knobs.dropout)

    def prepare(self, network: nn.Module, data: TrainingData, workers: Workers) -> None:
        standardize([cast("FrameSoftmax", network)], data, workers)

    def describe(self) -> dict[str, Any]:
        return {"stream": self.loader.stream, "width": self.loader.width, "seed": self.seed}


def common(root: Root, system: str, network: str, samples: Samples, seed: int, fingerprint: str) -> dict[str, Any]:
    """The fields of a TrainingSpec, all but its loader."""
    return {
        "stage": system,
        "name": f"{system} {network}, seed {seed}",
        "folder": layout.baseline_network(system, network, root.further(seed)),
        "fingerprint": models.seeded(fingerprint, seed),
        "seed": seed,
        "labels": samples.labels,
        "train": samples.of("train"),
        "val": samples.of("val"),
    }


def frame_spec(root: Root, system: str, samples: Samples, knobs: Training, seed: int, fingerprint: str) -> FrameSpec:
    """The softmax layer on a stream; the network is called like the stream."""
    plain = sequence_loader(root, samples)
    loader = StepLoader(root.config, plain.store_url, plain.stream, plain.width, plain.features, seed)
    return FrameSpec(**common(root, system, samples.stream, samples, seed, fingerprint), loader=loader, knobs=knobs)


def load(root: Root, system: str, network: str, seed: int, fingerprint: str) -> models.Model:
    """The model of one of a system's networks. InputError where it is missing or not what was recorded."""
    folder = layout.baseline_network(system, network, root.further(seed))
    return models.load(root.output, folder, models.seeded(fingerprint, seed), f"use --replace {system}")


def filled(network: nn.Module, model: models.Model, name: str, device: str) -> Any:
    """The network with the model's tensors, ready to judge."""
    fill(network, model.tensors, name)
    return network.eval().to(device)


def load_frames(root: Root, system: str, stream: str, seed: int, fingerprint: str, device: str) -> FrameSoftmax:
    """The softmax layer that `frame_spec` trained. InputError as of `load`."""
    model = load(root, system, stream, seed, fingerprint)
    network = FrameSoftmax(model.config["width"], len(model.labels), 0.0)
    return cast("FrameSoftmax", filled(network, model, f"{system} {stream}", device))


def probabilities(network: nn.Module, sequence: NDArray[np.float32], device: str) -> NDArray[np.float64]:
    """The softmax of a network's logits of one sequence float32 [L, E], float64 [C]; one video alone at a time.

    InputError: a sequence of another width than the network was trained on, NaN or infinity.
    """
    with torch.inference_mode():
        x_1LE = torch.from_numpy(np.ascontiguousarray(sequence))[None].to(device)
        logits_C = network(x_1LE, torch.tensor([len(sequence)]))[0].double()
        found: NDArray[np.float64] = logits_C.softmax(0).cpu().numpy()
    if not np.isfinite(found).all():
        raise InputError("a network gave NaN or infinity; train it again with --replace baseline")
    return found


def rows(order: tuple[str, ...], found: Mapping[str, NDArray[np.float64]], classes: int) -> NDArray[np.float64]:
    """Scores of a video by network as [S, C]; NaN where a network has nothing to judge it by."""
    nothing = np.full(classes, np.nan)
    return np.stack([found.get(name, nothing) for name in order])
