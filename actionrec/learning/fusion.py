"""Fusion of streams (IV.G): a linear classifier on the concatenated video embeddings, and averages of scores.

Axes: N videos, C classes, D numbers of a stream's embedding. A video that lacks a stream is handled by either rule:
`mask`, one classifier that sees zeros and an indicator, or `pattern`, one classifier for every set of streams. A video
without any stream gets no prediction: None, or a row of NaN. See docs/decisions/0014-fusion.md.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrec.config import Fusion
from actionrec.errors import InputError
from actionrec.learning.embeddings import Embeddings, VideoVectors
from actionrec.learning.linear import NORMALIZATIONS, Kind, Linear, Normalizer, feature, fit_linear
from actionrec.learning.metrics import top_k

Tensors = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class FusedModel:
    """A fitted classifier of videos by their embeddings."""

    labels: tuple[str, ...]  # [C]
    widths: Mapping[str, int]  # D of each stream, in the order of concatenation
    normalization: str  # standardize | l2 | none
    l2: float  # lambda
    missing: str  # mask | pattern
    classifiers: tuple[Linear, ...]  # mask: one; pattern: one for each set of streams, the largest set first
    candidates: tuple[Mapping[str, Any], ...] = ()  # what was tried, each with its top-1 on validation
    warnings: tuple[str, ...] = ()
    refitted: bool = False  # on train and validation together, once all was chosen

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self.widths)

    def decision(self, video: VideoVectors) -> NDArray[np.float64] | None:
        """Decision values of one video, float64 [C]; None where it has none of the streams that a classifier needs.

        A stream that `video` does not name is one that it lacks. InputError: another width, NaN or infinity.
        """
        given = {stream: video.get(stream) for stream in self.streams}
        for stream, vector_D in given.items():
            self._check(stream, vector_D)
        present = {stream for stream, vector_D in given.items() if vector_D is not None}
        for classifier in self.classifiers:
            needed = present & set(classifier.streams) if self.missing == "mask" else set(classifier.streams)
            if needed and needed <= present:
                return classifier.values(given)
        return None

    def decisions(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """The same for N videos, one by one and so to the bit, float64 [N, C]."""
        return _rows(embeddings, len(self.labels), self.decision)

    def quick(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """`decisions` up to rounding, which depends on who else is there: for choosing, not for predicting.

        By one product where there is one classifier.
        """
        if self.missing != "mask":
            return self.decisions(embeddings)
        (classifier,) = self.classifiers
        features = [
            feature(classifier.normalizers, classifier.flagged, embeddings.video(n)) for n in range(len(embeddings))
        ]
        scores_NC = np.reshape(features, (len(embeddings), -1)) @ classifier.weight.T + classifier.bias
        present_N = np.any([embeddings.present[stream] for stream in classifier.streams], axis=0)
        found: NDArray[np.float64] = np.where(present_N[:, None], scores_NC, np.nan)
        return found

    def only(self, streams: Sequence[str]) -> "FusedModel":
        """Of a model by `pattern`: what it is for videos that have at most these streams."""
        kept = tuple(c for c in self.classifiers if set(c.streams) <= set(streams))
        return dataclasses.replace(self, widths={s: self.widths[s] for s in streams}, classifiers=kept)

    def tensors(self) -> Tensors:
        """Everything that is numbers."""
        found: Tensors = {}
        for classifier in self.classifiers:
            name = "+".join(classifier.streams)
            found |= {f"{name}.weight": classifier.weight, f"{name}.bias": classifier.bias}
            for stream, normalizer in classifier.normalizers.items():
                if normalizer.mean is not None and normalizer.scale is not None:
                    found |= {f"{name}.mean.{stream}": normalizer.mean, f"{name}.scale.{stream}": normalizer.scale}
        return found

    def described(self) -> dict[str, Any]:
        """Everything else but the labels, as JSON takes it."""
        return {
            "widths": dict(self.widths),
            "normalization": self.normalization,
            "l2": self.l2,
            "missing": self.missing,
            "classifiers": [{"streams": list(c.streams), "flagged": list(c.flagged)} for c in self.classifiers],
            "candidates": [dict(candidate) for candidate in self.candidates],
            "warnings": list(self.warnings),
        } | ({"refitted": True} if self.refitted else {})

    def _check(self, stream: str, vector_D: NDArray[np.float32] | None) -> None:
        if vector_D is None:
            return
        if vector_D.shape != (self.widths[stream],):
            raise InputError(
                f"the {stream} embedding has the shape {vector_D.shape}, and the fused model takes "
                f"{self.widths[stream]} numbers; make both from the same recurrent network"
            )
        if not np.isfinite(vector_D).all():
            raise InputError(f"the {stream} embedding holds NaN or infinity; extract and embed the video again")


def restore(
    tensors: Mapping[str, NDArray[np.float64]], described: Mapping[str, Any], labels: Sequence[str]
) -> FusedModel:
    """The model of which `tensors()` and `described()` were stored. InputError where they do not fit together."""
    try:
        widths = {str(stream): int(width) for stream, width in described["widths"].items()}
        normalization = described["normalization"]
        classifiers = tuple(
            _restored(tensors, widths, normalization, len(labels), item["streams"], item["flagged"])
            for item in described["classifiers"]
        )
        if described["missing"] not in ("mask", "pattern") or normalization not in NORMALIZATIONS or not classifiers:
            raise ValueError(f"{normalization!r}, {described['missing']!r} and {len(classifiers)} classifiers")
        rest = tuple(described["candidates"]), tuple(described["warnings"]), bool(described.get("refitted", False))
        l2 = float(described["l2"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"its config.json and its tensors do not fit together ({error})") from None
    return FusedModel(tuple(labels), widths, normalization, l2, described["missing"], classifiers, *rest)


def fit(
    train: Embeddings,
    train_target_N: NDArray[np.int64],
    val: Embeddings,
    val_target_N: NDArray[np.int64],
    labels: Sequence[str],
    fusion: Fusion,
    seed: int,
    kind: Kind = "svm",
) -> FusedModel:
    """The classifier of all streams of `train`, its normalisation and its rule for missing streams chosen on `val`.

    Of equals the first is taken: in the order of NORMALIZATIONS, and mask before pattern. Where no video of `train` and
    `val` lacks a stream the rules cannot differ on them, and `auto` means mask. InputError: there is nothing to learn.
    """
    rules: tuple[str, ...] = (fusion.missing,)
    if fusion.missing == "auto":
        lacking = any(not part.present[s].all() for part in (train, val) for s in part.streams)
        rules = ("mask", "pattern") if lacking else ("mask",)
    tried = [
        fit_as(train, train_target_N, labels, kind, normalization, rule, fusion, seed)
        for normalization, rule in itertools.product(normalizations(fusion), rules)
    ]
    top1 = [float(top_k(model.decisions(val), val_target_N, 1) or 0.0) for model in tried]
    candidates = tuple(
        {"normalization": model.normalization, "missing": model.missing, "val_top1": value}
        for model, value in zip(tried, top1, strict=True)
    )
    return dataclasses.replace(tried[int(np.argmax(top1))], candidates=candidates)


def refit(
    model: FusedModel,
    train: Embeddings,
    train_target_N: NDArray[np.int64],
    val: Embeddings,
    val_target_N: NDArray[np.int64],
    fusion: Fusion,
    seed: int,
) -> FusedModel:
    """The SVM by everything that was chosen for `model`, fitted on train and validation together."""
    both, target_N = train.joined(val), np.concatenate([train_target_N, val_target_N])
    settings = dataclasses.replace(fusion, l2=model.l2)
    found = fit_as(both, target_N, model.labels, "svm", model.normalization, model.missing, settings, seed)
    return dataclasses.replace(found, candidates=model.candidates, refitted=True)


def normalizations(fusion: Fusion) -> tuple[str, ...]:
    """Those that are tried."""
    return NORMALIZATIONS if fusion.normalization == "auto" else (fusion.normalization,)


def fit_as(
    train: Embeddings,
    target_N: NDArray[np.int64],
    labels: Sequence[str],
    kind: Kind,
    normalization: str,
    rule: str,
    fusion: Fusion,
    seed: int,
) -> FusedModel:
    """A classifier of one kind on all streams of `train`, by one normalisation and one rule for missing streams."""
    return fit_path(train, target_N, labels, kind, normalization, rule, [fusion.l2], fusion, seed)[0]


def fit_path(
    train: Embeddings,
    target_N: NDArray[np.int64],
    labels: Sequence[str],
    kind: Kind,
    normalization: str,
    rule: str,
    l2s: Sequence[float],
    fusion: Fusion,
    seed: int,
) -> list[FusedModel]:
    """The same for each of `l2s`."""
    _refuse_unlearnable(train, target_N)
    sets = [train.streams] if rule == "mask" else list(reversed(subsets(train.streams)))
    fitted = []  # of each set, for each of `l2s`: the classifier and its warnings
    for streams in sets:
        present_SN = np.stack([train.present[stream] for stream in streams])
        used = np.flatnonzero(present_SN.any(axis=0) if rule == "mask" else present_SN.all(axis=0))
        if len(np.unique(target_N[used])) < 2:
            continue  # nobody has these streams together; such videos are left to a smaller set
        fitted.append(
            fit_linear(
                train.of(streams).rows(used),
                target_N[used],
                len(labels),
                kind=kind,
                normalization=normalization,
                fusion=fusion,
                l2s=l2s,
                seed=seed,
            )
        )
    if not fitted:
        raise InputError("fusion needs training videos of two classes or more that have a stream, and there are none")
    widths = {stream: train.vectors[stream].shape[1] for stream in train.streams}
    found = []
    for l2, of_sets in zip(l2s, zip(*fitted, strict=True), strict=True):
        classifiers, said = zip(*of_sets, strict=True)
        warnings = tuple(itertools.chain.from_iterable(said))
        found.append(FusedModel(tuple(labels), widths, normalization, l2, rule, classifiers, (), warnings))
    return found


def subsets(streams: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset, the smaller ones first, each in the order of `streams`."""
    return [chosen for size in range(1, len(streams) + 1) for chosen in itertools.combinations(streams, size)]


@dataclass(frozen=True)
class Head:
    """The softmax layer of a stream's own recurrent network, on its video embedding."""

    weight: NDArray[np.float64]  # [C, D]
    bias: NDArray[np.float64]  # [C]

    def probabilities(self, vector_D: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 [C]."""
        from scipy.special import softmax

        found: NDArray[np.float64] = softmax(np.einsum("cd,d->c", self.weight, vector_D.astype(np.float64)) + self.bias)
        return found


def average(heads: Mapping[str, Head], embeddings: Embeddings) -> NDArray[np.float64]:
    """The mean of the softmax outputs of those streams that a video has, float64 [N, C], as two-stream papers fuse."""
    classes = len(next(iter(heads.values())).bias)

    def mean(video: VideoVectors) -> NDArray[np.float64] | None:
        given = [head.probabilities(v) for stream, head in heads.items() if (v := video[stream]) is not None]
        return np.mean(given, axis=0) if given else None

    return _rows(embeddings, classes, mean)


def _rows(
    embeddings: Embeddings, classes: int, score: Callable[[VideoVectors], NDArray[np.float64] | None]
) -> NDArray[np.float64]:
    scores_NC = np.full((len(embeddings), classes), np.nan)
    for place in range(len(embeddings)):
        scores_C = score(embeddings.video(place))
        if scores_C is not None:
            scores_NC[place] = scores_C
    return scores_NC


def _refuse_unlearnable(train: Embeddings, target_N: NDArray[np.int64]) -> None:
    if len(found := np.unique(target_N)) < 2:
        raise InputError(f"fusion needs training videos of two classes or more, and there are {len(found)}")
    for stream, present_N in train.present.items():
        if not present_N.any():
            raise InputError(f"no training video has the stream {stream}; leave it out with --set streams=[...]")


def _restored(
    tensors: Mapping[str, NDArray[np.float64]],
    widths: Mapping[str, int],
    normalization: str,
    classes: int,
    streams: Sequence[str],
    flagged: Sequence[str],
) -> Linear:
    name = "+".join(streams)
    standardized = normalization == "standardize"
    normalizers = {
        stream: Normalizer(
            widths[stream],
            normalization,
            _shaped(tensors, f"{name}.mean.{stream}", (widths[stream],)) if standardized else None,
            _shaped(tensors, f"{name}.scale.{stream}", (widths[stream],)) if standardized else None,
        )
        for stream in streams
    }
    features = sum(widths[stream] for stream in streams) + len(flagged)
    weight = _shaped(tensors, f"{name}.weight", (classes, features))
    return Linear(normalizers, tuple(flagged), weight, _shaped(tensors, f"{name}.bias", (classes,)))


def _shaped(tensors: Mapping[str, NDArray[np.float64]], name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if tensors[name].shape != shape:
        raise ValueError(f"{name} has the shape {tensors[name].shape}, not {shape}")
    return tensors[name]
