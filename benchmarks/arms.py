"""The arms of the experiments in claims.py: each trains or fits on a root's features and judges the test videos."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import bursts
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from verdicts import Outcome

from actionrec import schema
from actionrec.config import Rnn
from actionrec.distributed.feed import DirectData, Feed
from actionrec.distributed.subjects import RnnSubject
from actionrec.distributed.trials import HeldLoader, read_held
from actionrec.learning import fusion, metrics
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.loop import Workers, fit
from actionrec.stages import evaluate
from actionrec.stages.fuse import load_fused
from actionrec.stages.labelled import labelled
from actionrec.storage.root import Root
from actionrec.storage.samples import Sample, made_with, read_rows, samples, store_of, with_stream
from actionrec.storage.streams import STREAMS


class Average(nn.Module):
    """The mean over time in place of the recurrent layers: standardised, dropout, dense (as SequenceClassifier)."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, dropout: float, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(width, classes)

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        real_BL1 = (torch.arange(x_BLE.shape[1]) < lengths_B[:, None])[..., None]
        mean_BE = (((x_BLE - self.mean) / self.scale) * real_BL1).sum(1) / lengths_B[:, None]
        logits: torch.Tensor = self.head(self.dropout(mean_BE))
        return logits


@dataclass(frozen=True)
class AverageSubject(RnnSubject):
    def build(self) -> nn.Module:  # type: ignore[override]
        return Average(self.training.dropout, self.loader.width, len(self.labels))


@dataclass(frozen=True)
class Study:
    """One stream of a root, all classes or some, and how to train on it."""

    root: Root
    stream: str
    only: tuple[str, ...] = ()
    rnn: Rnn | None = None  # default: the root's

    def recurrent(self, seed: int) -> Outcome:
        return self._train(RnnSubject, seed)

    def averaged(self, seed: int) -> Outcome:
        """The mean over time, trained by the same loop."""
        return self._train(AverageSubject, seed)

    def averaged_svm(self, seed: int) -> Outcome:
        """The mean over time and the linear SVM of fusion, its normalisation chosen on validation."""
        parts = {split: (self._means(split), _targets(self._of(split))) for split in ("train", "val", "test")}
        model = fusion.fit(*parts["train"], *parts["val"], self._labels, self.root.config.fusion, seed)
        return _judged(parts["test"][0].video_ids, model.decisions(parts["test"][0]), parts["test"][1], {})

    def _train(self, kind: type[RnnSubject], seed: int) -> Outcome:
        settings = dataclasses.replace(self.root.config, rnn=self.rnn or self.root.config.rnn)
        width = next(iter(self._held.values())).shape[1]
        loader = HeldLoader(settings, self.root.store.url, self.stream, width, "", self._held)
        subject = kind("", "", "", seed, self._labels, self._of("train"), self._of("val"), loader)
        feed = Feed(loader, subject.train, subject.val, seed, settings.rnn.batch, settings.rnn.shuffle_batches)
        data = DirectData(feed, "cpu")
        torch.manual_seed(seed)
        network = subject.build()
        subject.prepare(network, data, Workers())
        fitted = fit(network, data, settings.rnn, seed=seed)
        network.load_state_dict(fitted.tensors)
        test = self._of("test")
        arrays = loader.collate(loader.load(test, 0, False))
        with torch.inference_mode():
            logits = network.eval()(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["lengths"]))
        notes = {"best_epoch": fitted.best_epoch, "val_top1": fitted.history[fitted.best_epoch].val_top1}
        return _judged([each.video_id for each in test], logits.double().numpy(), _targets(test), notes)

    @cached_property
    def _labels(self) -> list[str]:
        return [label for label in samples(self.root, self.stream).labels if not self.only or label in self.only]

    def _of(self, split: str) -> list[Sample]:
        """The videos of the chosen classes, their targets counted among these."""
        found = samples(self.root, self.stream)
        places = {found.labels.index(label): place for place, label in enumerate(self._labels)}
        chosen = [each for each in found.of(split) if each.target in places]
        return [dataclasses.replace(each, target=places[each.target]) for each in chosen if each.target is not None]

    @cached_property
    def _held(self) -> dict[str, NDArray[np.float32]]:
        return read_held(self.root, self.stream, [each for split in schema.SPLITS for each in self._of(split)])

    def _means(self, split: str) -> Embeddings:
        ids = [each.video_id for each in self._of(split)]
        vectors = np.stack([self._held[video_id].mean(axis=0) for video_id in ids])
        return Embeddings(ids, {self.stream: vectors}, {self.stream: np.ones(len(ids), bool)})


def seen(root: Root, spec: bursts.Spec) -> dict[str, float]:
    """Over test clips: samples of a clip, samples of them in its burst, and the share of clips with any there."""
    indices = frame_indices(root)
    inside = np.array(
        [np.isin(indices[clip.path], bursts.burst(spec, clip.group)).sum() for clip in _clips(spec, ("test",))]
    )
    lengths = [len(indices[clip.path]) for clip in _clips(spec, ("test",))]
    return {"samples": float(np.mean(lengths)), "inside": float(inside.mean()), "share": float((inside > 0).mean())}


def burst_probe(root: Root, spec: bursts.Spec) -> dict[str, float]:
    """Top-1 of a linear probe on the mean of a clip's frames inside its burst, and of one outside it."""
    indices, found = frame_indices(root), samples(root, "spatial")
    embeddings = read_held(root, "spatial", found.videos)
    top1 = {}
    for where in ("inside", "outside"):
        parts = {}
        for name, splits in (("learnt", ("train", "val")), ("test", ("test",))):
            clips = _clips(spec, splits)
            chosen = [np.isin(indices[c.path], bursts.burst(spec, c.group)) == (where == "inside") for c in clips]
            means = [embeddings[clip.path][frames].mean(0) for clip, frames in zip(clips, chosen, strict=True)]
            parts[name] = (np.stack(means), [clip.label for clip in clips])
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*parts["learnt"])
        top1[where] = float(probe.score(*parts["test"]))
    return top1


def frame_indices(root: Root) -> dict[str, list[int]]:
    """Which frames of each video were sampled."""
    whole = STREAMS["spatial"].schema(1)
    columns = pa.schema([whole.field(name) for name in ("video_id", "frame_index")])
    rows: dict[str, list[int]] = {}
    for part, ids in with_stream(root, "spatial").items():
        found = read_rows(store_of(root, "spatial"), "spatial", part, ids, columns, made_with(root, "spatial"))
        rows |= {video_id: row["frame_index"] for video_id, row in found.items()}
    return rows


def _clips(spec: bursts.Spec, splits: Sequence[str]) -> list[bursts.Clip]:
    return [clip for clip in bursts.plan(spec) if spec.split(clip.group) in splits]


def groups(root: Root) -> dict[str, str]:
    """video_id -> group."""
    catalog = root.catalog()
    return dict(zip(catalog["video_id"].to_pylist(), catalog["group"].to_pylist(), strict=True))


def _targets(chosen: Sequence[Sample]) -> NDArray[np.int64]:
    return np.array([each.target for each in chosen], np.int64)


def _judged(
    ids: Sequence[str], scores_NC: NDArray[np.float64], target_N: NDArray[np.int64], notes: Mapping[str, float]
) -> Outcome:
    hits = (metrics.ranks(scores_NC, target_N) == 0).astype(float)
    return Outcome(dict(zip(ids, hits.tolist(), strict=True)), dict(notes))


def evaluated(root: Root, seed: int) -> dict[str, Outcome]:
    """Every subset of streams under each classifier, as `actionrec evaluate` judges them, by "METHOD STREAM+STREAM"."""
    sides = labelled(root, seed)
    val, test = sides["val"], sides["test"]
    settings = evaluate.own_settings(root, {each: labelled(root, each) for each in root.config.seeds})
    return {
        f"{each.method} {'+'.join(each.streams)}": _judged(
            test.embeddings.video_ids,
            each.test,
            test.target,
            {"val_top1": metrics.top_k(each.val, val.target, 1) or 0.0},
        )
        for each in evaluate.judge(root, seed, load_fused(root, seed), sides, settings)
        if each.val is not None
    }
