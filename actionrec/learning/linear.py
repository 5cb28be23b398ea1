"""One linear classifier on the concatenated video embeddings: its features, its objective, its values.

Axes: N videos, C classes, D numbers of a stream's embedding, F of all of them together.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from actionrec.config import Fusion
from actionrec.learning.embeddings import Embeddings, Video

Kind = Literal["svm", "softmax"]
Vector = NDArray[np.float64]
NORMALIZATIONS = ("standardize", "l2", "none")
UNSEEN = {"svm": -1.0, "softmax": -np.inf}  # the bias of a class that training lacks: its optimum where all say no


@dataclass(frozen=True)
class Normalizer:
    """A stream's embedding as the classifier sees it: standardised, of length 1, or as it is."""

    width: int  # D
    kind: str  # one of NORMALIZATIONS
    mean: Vector | None = None  # [D] over training videos, of `standardize`
    scale: Vector | None = None  # [D]; 1 where a dimension is constant

    def __call__(self, vector_D: NDArray[np.float32] | None) -> Vector:
        """float64 [D]; zeros, which is the mean of training, where the video lacks the stream."""
        if vector_D is None:
            return np.zeros(self.width)
        exact_D = vector_D.astype(np.float64)
        if self.mean is not None and self.scale is not None:
            return (exact_D - self.mean) / self.scale
        return exact_D / (np.sqrt(np.square(exact_D).sum()) or 1.0) if self.kind == "l2" else exact_D


@dataclass(frozen=True)
class Linear:
    """A linear classifier on some streams."""

    normalizers: Mapping[str, Normalizer]  # of its streams, in the order of concatenation
    flagged: tuple[str, ...]  # streams with an indicator: 1 where the video lacks the stream
    weight: NDArray[np.float64]  # [C, F]
    bias: Vector  # [C]

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self.normalizers)

    def values(self, video: Video) -> Vector:
        """Decision values, float64 [C].

        einsum adds by itself, in one order. BLAS adds in an order that depends on how many videos there are and on the
        number of threads, and then a video predicted alone could differ from the same one in an evaluation.
        """
        found: Vector = np.einsum("cf,f->c", self.weight, feature(self.normalizers, self.flagged, video)) + self.bias
        return found


def feature(normalizers: Mapping[str, Normalizer], flagged: Sequence[str], video: Video) -> Vector:
    """float64 [F]: the normalised embeddings, then the indicators."""
    parts = [normalizer(video[stream]) for stream, normalizer in normalizers.items()]
    return np.concatenate([*parts, [float(video[stream] is None) for stream in flagged]])


def fit_linear(
    train: Embeddings,
    target_N: NDArray[np.int64],
    classes: int,
    *,
    kind: Kind,
    normalization: str,
    fusion: Fusion,
    seed: int,
) -> tuple[Linear, list[str]]:
    """A classifier on all streams of `train`, whose videos hold two classes or more, and what to warn of.

    Streams that some of these videos lack get an indicator. Classes that none of them belongs to get weight 0.
    """
    normalizers = {stream: _normalizer(train, stream, normalization) for stream in train.streams}
    flagged = tuple(stream for stream in train.streams if not train.present[stream].all())
    feature_NF = np.stack([feature(normalizers, flagged, train.video(place)) for place in range(len(train))])
    machine = _machine(kind, len(train), fusion, seed)
    # The best weights are a sum of training features, so with fewer videos than features the same problem is solved in
    # the space that these span: exactly, and as many times faster as it is smaller.
    span_FR = np.linalg.qr(feature_NF.T)[0] if len(feature_NF) < feature_NF.shape[1] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said below, in words and in the model's config.json
        machine.fit(feature_NF if span_FR is None else feature_NF @ span_FR, target_N)
    weight, bias = np.zeros((classes, feature_NF.shape[1])), np.full(classes, UNSEEN[kind])
    found_CR = _of_two(machine.coef_)
    weight[machine.classes_] = found_CR if span_FR is None else found_CR @ span_FR.T
    bias[machine.classes_] = _of_two(machine.intercept_)
    unfinished = np.max(machine.n_iter_) >= fusion.max_iterations
    said = (
        f"the {kind} on {' + '.join(train.streams)} ({normalization}, seed {seed}) did not converge in "
        f"{fusion.max_iterations} iterations; raise fusion.max_iterations"
    )
    return Linear(normalizers, flagged, weight, bias), [said] if unfinished else []


def _normalizer(train: Embeddings, stream: str, normalization: str) -> Normalizer:
    vectors_ND = train.vectors[stream][train.present[stream]].astype(np.float64)
    if normalization != "standardize":
        return Normalizer(vectors_ND.shape[1], normalization)
    scaler = StandardScaler().fit(vectors_ND)
    return Normalizer(vectors_ND.shape[1], normalization, scaler.mean_, scaler.scale_)


def _machine(kind: Kind, videos: int, fusion: Fusion, seed: int) -> LinearSVC | LogisticRegression:
    """lambda |w|^2 + mean loss is C sum(loss) + |w|^2 / 2 with C = 1 / (2 lambda n); the same for both losses (V.D)."""
    strength = 1 / (2 * fusion.l2 * videos)
    if kind == "svm":
        return LinearSVC(loss="hinge", C=strength, random_state=seed, max_iter=fusion.max_iterations)
    return LogisticRegression(C=strength, max_iter=fusion.max_iterations)


def _of_two(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of two classes scikit-learn gives the second one's row only."""
    return np.concatenate([-rows, rows]) if len(rows) == 1 else rows
