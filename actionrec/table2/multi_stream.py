"""Multi-stream [2] (Wu et al. 2016): LSTMs on frames and motion and a softmax on sound, fused by weights of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from actionrec.config import Config, MultiStreamTraining
from actionrec.errors import InputError
from actionrec.learning import class_weights
from actionrec.learning.loop import TrainingData, Workers
from actionrec.learning.stacked_lstm import StackedLstm
from actionrec.storage.root import Root
from actionrec.storage.samples import Samples
from actionrec.table2.models import common, filled, frame_spec, load, load_frames, probabilities, rows
from actionrec.table2.systems import Method, Score, Sequences, Side, demand
from actionrec.training.sequences import SequenceLoader, sequence_loader, standardize
from actionrec.training.spec import TrainingSpec

NAME = "multi_stream"
SPLITS = ("val", "test")  # the weights of fusion are learnt on validation: networks know the training videos too well
RECURRENT = ("spatial", "motion")


@dataclass(frozen=True)
class LstmSpec(TrainingSpec):
    """The LSTM on frames or motion."""

    loader: SequenceLoader

    @property
    def training(self) -> MultiStreamTraining:
        return self.loader.config.baselines.multi_stream

    def build(self) -> StackedLstm:
        return StackedLstm(self.loader.width, self.training.units, len(self.labels), self.training.dropout)

    def prepare(self, network: nn.Module, data: TrainingData, workers: Workers) -> None:
        standardize([cast("StackedLstm", network)], data, workers)

    def describe(self) -> dict[str, Any]:
        units = list(self.training.units)
        return {"stream": self.loader.stream, "width": self.loader.width, "units": units, "seed": self.seed}


def network_names(config: Config) -> Sequence[str]:
    demand(NAME, config, *RECURRENT)
    return streams(config)


def streams(config: Config) -> Sequence[str]:
    """Without sound where `streams` has none."""
    return tuple(stream for stream in (*RECURRENT, "audio") if stream in config.streams)


def inputs(root: Root) -> Mapping[str, str]:
    return {}


def specs(root: Root, samples: Mapping[str, Samples], seed: int, fingerprint: str) -> Sequence[TrainingSpec]:
    found: list[TrainingSpec] = []
    for stream in streams(root.config):
        own = samples[stream]
        if stream in RECURRENT:
            fields = common(root, NAME, stream, own, seed, fingerprint)
            found.append(LstmSpec(**fields, loader=sequence_loader(root, own)))
        else:
            found.append(frame_spec(root, NAME, own, root.config.baselines.multi_stream, seed, fingerprint))
    return found


def scorer(root: Root, seed: int, fingerprint: str, device: str) -> Score:
    order = tuple(streams(root.config))
    found = {stream: _network(root, stream, seed, fingerprint, device) for stream in order}
    classes = len(load(root, NAME, order[0], seed, fingerprint).labels)

    def score(sequences: Sequences) -> NDArray[np.float64]:
        given = {stream: probabilities(found[stream], sequence, device) for stream, sequence in sequences.items()}
        return rows(order, given, classes)

    return score


def _network(root: Root, stream: str, seed: int, fingerprint: str, device: str) -> nn.Module:
    if stream not in RECURRENT:
        return load_frames(root, NAME, stream, seed, fingerprint, device)
    model = load(root, NAME, stream, seed, fingerprint)
    network = StackedLstm(model.config["width"], tuple(model.config["units"]), len(model.labels), 0.0)
    return cast("nn.Module", filled(network, model, f"{NAME} {stream}", device))


def fuse(sides: Mapping[str, Side], root: Root, seed: int) -> Mapping[str, Method]:
    val, test = (sides[split].scores for split in SPLITS)
    methods = {
        stream: Method({"val": val[place], "test": test[place]}, {})
        for place, stream in enumerate(streams(root.config))
    }
    for kind in class_weights.KINDS:
        try:
            methods[kind] = _fused(kind, sides["val"], test)
        except InputError:  # too few groups to choose settings by: the table's note says that the mean is left
            if kind == "mean":
                raise
    return methods


def _fused(kind: class_weights.WeightKind, val: Side, test_SNC: NDArray[np.float64]) -> Method:
    """One of the four ways to weigh. Learnt on validation, it is judged there by folds that it was not learnt on."""
    choice = class_weights.choose(val.scores, val.target, val.groups, kind)
    weights = class_weights.learn(kind, val.scores, val.target, choice.pull, choice.sparsity)
    settings = {name: value for name, value in (("pull", choice.pull), ("sparsity", choice.sparsity)) if value}
    return Method({"val": choice.scores, "test": class_weights.scores(weights, test_SNC)}, settings)
