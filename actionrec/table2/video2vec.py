"""video2vec [8] (Hu et al. 2016): recurrent encoders of frames and motion, and the nearest vector of a class."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.config import Config, Video2vecTraining
from actionrec.errors import InputError
from actionrec.learning.loop import Objective, TrainingData, Workers
from actionrec.learning.video2vec import Encoder, Video2vec, orthonormal, ranked
from actionrec.learning.word_vectors import class_vectors, lines_of
from actionrec.storage import provenance
from actionrec.storage.root import Root, record
from actionrec.storage.samples import Samples, class_labels
from actionrec.table2.models import common, filled, load
from actionrec.table2.systems import Method, Score, Sequences, Side, demand
from actionrec.training.sequences import JointLoader, sequence_loader, standardize
from actionrec.training.spec import TrainingSpec

NAME = "video2vec"
SPLITS = ("val", "test")
STREAMS = ("spatial", "motion")
NETWORK = "encoder"  # of both streams together


@dataclass(frozen=True)
class Video2vecSpec(TrainingSpec):
    """Both encoders and their dense layer, of videos that have both streams."""

    loader: JointLoader
    class_vectors: NDArray[np.float32]  # [C, D]

    @property
    def training(self) -> Video2vecTraining:
        return self.loader.loaders[0].config.baselines.video2vec

    @property
    def objective(self) -> Objective:
        return ranked(self.training.margin)

    def build(self) -> Video2vec:
        return Video2vec(self._widths(), self.training.units, self.class_vectors, self.training.dropout)

    def prepare(self, network: nn.Module, data: TrainingData, workers: Workers) -> None:
        encoders = cast("Video2vec", network).encoders.values()
        standardize([cast("Encoder", encoder) for encoder in encoders], data, workers)

    def describe(self) -> dict[str, Any]:
        return {"widths": self._widths(), "units": self.training.units, "seed": self.seed}

    def _widths(self) -> dict[str, int]:
        return {loader.stream: loader.width for loader in self.loader.loaders}


def network_names(config: Config) -> Sequence[str]:
    demand(NAME, config, *STREAMS)
    return (NETWORK,)


def streams(config: Config) -> Sequence[str]:
    return STREAMS


def inputs(root: Root) -> Mapping[str, str]:
    """The classes' vectors: a file of words may change under its name. What has begun needs the file no more."""
    words = root.config.baselines.video2vec.word_vectors
    if words and not Path(words).exists() and root.begun(NAME):
        return {"class vectors": str(record(root, NAME)["inputs"]["class vectors"])}
    return {"class vectors": provenance.digest(_class_vectors(root).tolist())}


def specs(root: Root, samples: Mapping[str, Samples], seed: int, fingerprint: str) -> Sequence[TrainingSpec]:
    first, *others = (samples[stream] for stream in STREAMS)
    common_ids = {video.video_id for video in first.videos}.intersection(
        *({video.video_id for video in other.videos} for other in others)
    )
    both = dataclasses.replace(first, videos=[video for video in first.videos if video.video_id in common_ids])
    loader = JointLoader(tuple(sequence_loader(root, samples[stream]) for stream in STREAMS))
    return [
        Video2vecSpec(
            **common(root, NAME, NETWORK, both, seed, fingerprint), loader=loader, class_vectors=_class_vectors(root)
        )
    ]


def scorer(root: Root, seed: int, fingerprint: str, device: str) -> Score:
    model = load(root, NAME, NETWORK, seed, fingerprint)
    widths, vectors_CD = model.config["widths"], model.tensors["class_vectors"].numpy()
    network = filled(Video2vec(widths, model.config["units"], vectors_CD, 0.0), model, NAME, device)

    def score(sequences: Sequences) -> NDArray[np.float64]:
        if not sequences.keys() >= set(STREAMS):
            return np.full((1, len(vectors_CD)), np.nan)
        given: list[torch.Tensor] = []
        for stream in STREAMS:
            sequence = torch.from_numpy(np.ascontiguousarray(sequences[stream]))[None].to(device)
            given += [sequence, torch.tensor([sequence.shape[1]])]
        with torch.inference_mode():
            cosines_1C: NDArray[np.float64] = network(*given).double().cpu().numpy()
        if not np.isfinite(cosines_1C).all():
            raise InputError("its networks gave NaN or infinity; train them again with --replace video2vec")
        return cosines_1C

    return score


def fuse(sides: Mapping[str, Side], root: Root, seed: int) -> Mapping[str, Method]:
    words = root.config.baselines.video2vec.word_vectors
    method = "nearest word vector" if words else "nearest of fixed orthonormal vectors"
    return {method: Method({split: sides[split].scores[0] for split in SPLITS}, {})}


def _class_vectors(root: Root) -> NDArray[np.float32]:
    """[C, D], of the user's file of words, else drawn from the root's seed."""
    settings, labels = root.config.baselines.video2vec, class_labels(root.catalog())
    if settings.word_vectors is None:
        return orthonormal(len(labels), max(settings.dimension, len(labels)), root.config.seed)
    try:
        with Path(settings.word_vectors).open("rb") as file:
            return class_vectors(lines_of(file), labels, settings.word_vectors)
    except OSError as error:
        raise InputError(f"baselines.video2vec.word_vectors: the file cannot be read ({error})") from None
