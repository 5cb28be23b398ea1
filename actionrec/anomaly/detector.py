"""Which videos are normal, what their embeddings are, and the autoencoder with its threshold that is made of them."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actionrec.anomaly import autoencoder
from actionrec.anomaly.autoencoder import Autoencoder, Scores, Vectors
from actionrec.config import Anomaly
from actionrec.errors import InputError
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.embeddings import VideoVectors
from actionrec.learning.loop import Fitted
from actionrec.storage import layout, models
from actionrec.storage.embeddings import embeddings_of, read_embeddings
from actionrec.storage.root import Root, record
from actionrec.storage.streams import random_networks
from actionrec.weights.tensors import fill

LISTED = 20  # classes that an error about one names
REMEDY = "run `actionrec anomaly --replace anomaly`"


@dataclass(frozen=True)
class Videos:
    """The catalog's videos [N] with one seed's embeddings; of a video without any, nothing is `present`."""

    ids: list[str]
    labels: list[str | None]
    splits: list[str | None]
    vectors: Vectors
    widths: dict[str, int]  # of the streams, in the order in which they are concatenated

    def of(self, split: str, labels: Sequence[str]) -> NDArray[np.bool_]:
        """Which videos [N] are of these classes and in `split`, embedded or not."""
        wanted = set(labels)
        pairs = zip(self.splits, self.labels, strict=True)
        return np.array([each == split and label in wanted for each, label in pairs], np.bool_)

    def embedded(self, split: str, labels: Sequence[str]) -> Vectors:
        return self.vectors.rows(self.of(split, labels) & self.vectors.present.any(1))


@dataclass(frozen=True)
class Detector:
    """What tells unusual videos from normal ones."""

    network: Autoencoder
    threshold: float
    normal_train: Vectors  # the neighbours of the baseline
    n_normal_val: int
    neighbors: int

    def scorable(self, videos: Videos) -> NDArray[np.bool_]:
        """Which videos [N] can be scored."""
        return autoencoder.scorable(self.network, videos.vectors.present)

    def scores(self, vectors: Vectors) -> tuple[Scores, Scores]:
        """The autoencoder's [N] and the baseline's [N], of videos that can be scored."""
        return (
            autoencoder.score(self.network, vectors.values, vectors.present),
            autoencoder.neighbor_score(self.network, self.normal_train, vectors, self.neighbors),
        )


def read_videos(root: Root, seed: int, catalog: pa.Table) -> Videos:
    """The videos of `catalog` with the embeddings that `root` has for `seed`. InputError where it has none."""
    found = embeddings_of(read_embeddings(root, seed), root.config.streams)
    places = {video_id: place for place, video_id in enumerate(found.video_ids)}
    ids, labels, splits = (catalog[name].to_pylist() for name in ("video_id", "label", "split"))
    rows = np.array([places.get(video_id, -1) for video_id in ids], np.int64)
    widths = {stream: vectors_ND.shape[1] for stream, vectors_ND in found.vectors.items()}
    values = np.concatenate(list(found.vectors.values()), axis=1)
    present = np.concatenate(
        [np.repeat(found.present[s][:, None], width, axis=1) for s, width in widths.items()], axis=1
    )
    absent = np.zeros((1, values.shape[1]))  # in place -1
    whole = Vectors(np.vstack([values, absent.astype(np.float32)]), np.vstack([present, absent.astype(np.bool_)]))
    return Videos(ids, labels, splits, whole.rows(rows), widths)


def normal_classes(root: Root, classes: Sequence[str]) -> list[str]:
    """Those of `classes` that anomaly.normal names (all where it is empty), without what `root` holds out.

    InputError: it names a class that does not exist, or none is left.
    """
    named = root.config.anomaly.normal
    for label in named:
        if label != root.holdout:
            check_class("anomaly.normal", label, classes)
    normal = [label for label in classes if (not named or label in named) and label != root.holdout]
    if not normal:
        raise InputError(f"without {root.holdout!r} no normal class is left to learn from; name more in anomaly.normal")
    return normal


def check_class(where: str, label: str, classes: Sequence[str]) -> None:
    """InputError, naming `where`, the closest classes and the classes that there are, unless `label` is one of them."""
    if label not in classes:
        close = difflib.get_close_matches(label, classes, cutoff=0.4)
        meant = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        more = f" and {len(classes) - LISTED:,} more" if len(classes) > LISTED else ""
        there = f"there are {', '.join(classes[:LISTED])}{more}" if classes else "there are none"
        raise InputError(f"{where}: no training video is of the class {label!r}{meant}; {there}")


def check_trainable(root: Root, videos: Videos, normal: Sequence[str]) -> None:
    """InputError where no autoencoder can be made: a bottleneck that is none, or a split without normal videos."""
    autoencoder.check_bottleneck(root.config.anomaly.bottleneck, sum(videos.widths.values()))
    known = videos.embedded("train", normal).present.any(0)
    for split in ("train", "val"):
        if not (videos.embedded(split, normal).present & known).any():
            raise InputError(
                f"{root.store.url}: no {split} video of the normal classes has an embedding; "
                "name more classes in anomaly.normal, or look into features/status for the reason"
            )


def fit_detector(
    settings: Anomaly,
    videos: Videos,
    normal: Sequence[str],
    seed: int,
    on_history: Callable[[Sequence[Epoch]], None] = lambda history: None,
) -> tuple[Detector, Fitted]:
    """An autoencoder of the normal training videos; its threshold is a quantile of the normal val videos' scores.

    `on_history` as of autoencoder.train.
    """
    normal_train, normal_val = (videos.embedded(split, normal) for split in ("train", "val"))
    normal_val = normal_val.rows(np.asarray((normal_val.present & normal_train.present.any(0)).any(1)))
    network, fitted = autoencoder.train(normal_train, normal_val, settings, seed, on_history)
    threshold = np.quantile(autoencoder.score(network, normal_val.values, normal_val.present), settings.quantile)
    return Detector(network, float(threshold), normal_train, len(normal_val), settings.neighbors), fitted


def save_detector(
    root: Root, detector: Detector, fitted: Fitted, videos: Videos, normal: Sequence[str], seed: int
) -> None:
    """Store it as models/autoencoder of this seed."""
    settings = root.config.anomaly
    models.save(
        root.output,
        layout.model(layout.AUTOENCODER, root.further(seed)),
        fitted.tensors,
        fingerprint=_fingerprint(root, seed),
        config={
            "widths": videos.widths,
            "hidden": settings.hidden,
            "bottleneck": settings.bottleneck,
            "threshold": detector.threshold,
            "quantile": settings.quantile,
            "normal": list(normal),
            "n_normal_train": len(detector.normal_train),
            "n_normal_val": detector.n_normal_val,
            "best_epoch": fitted.best_epoch,
            "seed": seed,
            "random_networks": random_networks(root.config, root.config.streams),
        },
        history=[dataclasses.asdict(epoch) for epoch in fitted.history],
    )


def load_detector(root: Root, videos: Videos, normal: Sequence[str], seed: int) -> Detector:
    """What `save_detector` stored. InputError where it is missing or was tampered with."""
    network, found = _load(root, sum(videos.widths.values()), seed)
    normal_train = videos.embedded("train", normal)
    return Detector(network, found["threshold"], normal_train, found["n_normal_val"], root.config.anomaly.neighbors)


@dataclass(frozen=True)
class Alarm:
    """A detector without its baseline, which needs the training videos: for videos that are new."""

    network: Autoencoder
    threshold: float
    widths: Mapping[str, int]  # of the streams, in the order in which they are concatenated

    def score(self, video: VideoVectors) -> float | None:
        """The score that `anomaly` gives a catalogued video; None where it has no stream that the autoencoder knows."""
        given = [video.get(stream) for stream in self.widths]
        widths = list(self.widths.values())
        values = [np.zeros(width, np.float32) if v is None else v for v, width in zip(given, widths, strict=True)]
        present = [np.full(width, v is not None) for v, width in zip(given, widths, strict=True)]
        one = Vectors(np.concatenate(values)[None], np.concatenate(present)[None])
        if not autoencoder.scorable(self.network, one.present)[0]:
            return None
        return float(autoencoder.score(self.network, one.values, one.present)[0])


def load_alarm(root: Root, widths: Mapping[str, int], seed: int) -> Alarm | None:
    """The stored autoencoder of a seed; None where it has not been trained. InputError where it was tampered with."""
    folder = layout.model(layout.AUTOENCODER, root.further(seed))
    if not root.begun("anomaly") or not models.finished(root.output, folder, _fingerprint(root, seed)):
        return None
    network, found = _load(root, sum(widths.values()), seed)
    return Alarm(network, found["threshold"], widths)


def _load(root: Root, width: int, seed: int) -> tuple[Autoencoder, dict[str, Any]]:
    """The stored autoencoder of embeddings of `width` numbers, and its threshold and n_normal_val."""
    settings, folder = root.config.anomaly, layout.model(layout.AUTOENCODER, root.further(seed))
    model = models.load(root.output, folder, _fingerprint(root, seed), REMEDY)
    network = Autoencoder(width, settings.hidden, settings.bottleneck)
    fill(network, model.tensors, f"{root.output.url}/{folder}")
    try:
        found = {"threshold": float(model.config["threshold"]), "n_normal_val": int(model.config["n_normal_val"])}
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{root.output.url}/{folder}{models.CONFIG}: not this program's autoencoder ({reason}); {REMEDY}"
        ) from None
    return network.eval(), found


def _fingerprint(root: Root, seed: int) -> str:
    return models.seeded(record(root, "anomaly")["fingerprint"], seed)
