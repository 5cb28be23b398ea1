"""Two-stream [1] (Simonyan & Zisserman 2014): single frames and stacks of flow, each judged alone, fused by scores.

Spatial: a softmax layer on single frame embeddings, the last layer alone trained. Motion: the root's own motion CNN
with its softmax. Both are averaged over evenly spaced frames of a video, and fused by their mean, or by a linear SVM
on the two softmax vectors, each of length 1.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from actionrec.config import Config
from actionrec.learning import search
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.two_stream import evenly, mean
from actionrec.storage import layout, models
from actionrec.storage.root import Root, record
from actionrec.storage.samples import Samples, class_labels
from actionrec.table2.models import frame_spec, load_frames, probabilities, rows
from actionrec.table2.systems import Method, Score, Sequences, Side, demand
from actionrec.training.embedder import softmax_layer
from actionrec.training.spec import TrainingSpec

NAME = "two_stream"
NETWORKS = ("spatial", "motion")
SPLITS = ("train", "val", "test")  # the SVM is fitted on what the networks say of the training videos


def network_names(config: Config) -> Sequence[str]:
    demand(NAME, config, *NETWORKS)
    return NETWORKS


def streams(config: Config) -> Sequence[str]:
    return NETWORKS


def inputs(root: Root) -> Mapping[str, str]:
    return {}


def specs(root: Root, samples: Mapping[str, Samples], seed: int, fingerprint: str) -> Sequence[TrainingSpec]:
    return [frame_spec(root, NAME, samples["spatial"], root.config.baselines.two_stream, seed, fingerprint)]


def scorer(root: Root, seed: int, fingerprint: str, device: str) -> Score:
    frames = load_frames(root, NAME, "spatial", seed, fingerprint, device)
    motion = models.load(
        root.output, layout.model(layout.MOTION_CNN), record(root, "motion_cnn")["fingerprint"], "use --replace motion"
    )
    head = softmax_layer(motion)
    count = root.config.baselines.two_stream.frames

    def score(sequences: Sequences) -> NDArray[np.float64]:
        spaced = {stream: sequence[evenly(len(sequence), count)] for stream, sequence in sequences.items()}
        found = {}
        if "spatial" in spaced:
            found["spatial"] = probabilities(frames, spaced["spatial"], device)
        if "motion" in spaced:
            found["motion"] = np.mean([head.probabilities(vector_D) for vector_D in spaced["motion"]], axis=0)
        return rows(NETWORKS, found, len(head.bias))

    return score


def fuse(sides: Mapping[str, Side], root: Root, seed: int) -> Mapping[str, Method]:
    judged = {split: sides[split].scores for split in ("val", "test")}
    alone = {
        network: Method({split: scores_SNC[place] for split, scores_SNC in judged.items()}, {})
        for place, network in enumerate(NETWORKS)
    }
    averaged = Method({split: mean(scores_SNC) for split, scores_SNC in judged.items()}, {})
    return {**alone, "mean": averaged, "svm": _svm(sides, root, seed)}


def _svm(sides: Mapping[str, Side], root: Root, seed: int) -> Method:
    """The linear SVM on softmax vectors of length 1, its L2 weight chosen on validation."""
    fusion = dataclasses.replace(root.config.fusion, normalization="l2")
    (path,) = search.paths(NETWORKS, fusion, root.config.tune.l2)
    vectors = {split: _embeddings(side) for split, side in sides.items()}
    train, val = sides["train"], sides["val"]
    tried = search.attempts(
        path, vectors["train"], train.target, vectors["val"], val.target, class_labels(root.catalog()), fusion, seed
    )
    top1 = {setting: value for setting, (_, value) in zip(path, tried, strict=True)}
    chosen = search.best(top1)
    model = next(model for setting, (model, _) in zip(path, tried, strict=True) if setting == chosen)
    return Method({split: model.decisions(vectors[split]) for split in ("val", "test")}, {"lambda": chosen.l2})


def _embeddings(side: Side) -> Embeddings:
    present = {name: ~np.isnan(side.scores[place]).any(axis=1) for place, name in enumerate(NETWORKS)}
    vectors = {name: np.nan_to_num(side.scores[place]).astype(np.float32) for place, name in enumerate(NETWORKS)}
    return Embeddings(side.video_ids, vectors, present)
