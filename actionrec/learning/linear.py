"""One linear classifier on the concatenated video embeddings: its features, its objective, its values.

Axes: N videos, C classes, D numbers of a stream's embedding, F of all of them together.
"""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actionrec.config import Fusion
from actionrec.learning import svm
from actionrec.learning.embeddings import Embeddings, VideoVectors
from actionrec.learning.svm import Solution

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

    def values(self, video: VideoVectors) -> Vector:
        """Decision values, float64 [C].

        einsum adds by itself, in one order. BLAS adds in an order that depends on how many videos there are and on the
        number of threads, and then a video predicted alone could differ from the same one in an evaluation.
        """
        found: Vector = np.einsum("cf,f->c", self.weight, feature(self.normalizers, self.flagged, video)) + self.bias
        return found


def feature(normalizers: Mapping[str, Normalizer], flagged: Sequence[str], video: VideoVectors) -> Vector:
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
    l2s: Sequence[float],
    seed: int,
) -> list[tuple[Linear, list[str]]]:
    """A classifier for each of `l2s` on all streams of `train`, whose videos hold two classes or more; its warnings.

    Streams that some of these videos lack get an indicator. Classes that none of them belongs to get weight 0.
    """
    normalizers = {stream: _normalizer(train, stream, normalization) for stream in train.streams}
    flagged = tuple(stream for stream in train.streams if not train.present[stream].all())
    feature_NF = np.stack([feature(normalizers, flagged, train.video(place)) for place in range(len(train))])
    found, place_N = np.unique(target_N, return_inverse=True)
    solve = _svm if kind == "svm" else _softmax
    fitted = []
    for l2, solution in zip(l2s, solve(feature_NF, place_N, len(found), l2s, fusion), strict=True):
        weight, bias = np.zeros((classes, feature_NF.shape[1])), np.full(classes, UNSEEN[kind])
        weight[found], bias[found] = solution.weight, solution.bias
        said = (
            f"the {kind} on {' + '.join(train.streams)} ({normalization}, lambda {l2:g}, seed {seed}) did not converge "
            f"in {fusion.max_iterations} iterations; raise fusion.max_iterations"
        )
        fitted.append((Linear(normalizers, flagged, weight, bias), [] if solution.converged else [said]))
    return fitted


def _svm(
    feature_NF: Vector, place_N: NDArray[np.int64], classes: int, l2s: Sequence[float], fusion: Fusion
) -> list[Solution]:
    solutions = svm.solve(feature_NF, place_N, classes, l2s, fusion.max_iterations)
    if classes > 2:
        return solutions
    # Of two classes one is what the other is not; solved by themselves they would differ by the gap.
    return [
        dataclasses.replace(each, weight=_of_two(each.weight[1:]), bias=_of_two(each.bias[1:])) for each in solutions
    ]


def _softmax(
    feature_NF: Vector, place_N: NDArray[np.int64], classes: int, l2s: Sequence[float], fusion: Fusion
) -> list[Solution]:
    """lambda |w|^2 + mean loss is C sum(loss) + |w|^2 / 2 with C = 1 / (2 lambda n). Each begins at the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # The best weights are a sum of training features, so with fewer videos than features the same problem is solved in
    # the space that these span: exactly, and as many times faster as it is smaller.
    span_FR = np.linalg.qr(feature_NF.T)[0] if len(feature_NF) < feature_NF.shape[1] else None
    inside_NR = feature_NF if span_FR is None else feature_NF @ span_FR
    machine = LogisticRegression(max_iter=fusion.max_iterations, warm_start=True)
    found = {}
    for l2 in sorted(set(l2s), reverse=True):
        machine.C = 1 / (2 * l2 * len(feature_NF))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said in words and in the model's config.json
            machine.fit(inside_NR, place_N)
        weight = machine.coef_.copy() if span_FR is None else machine.coef_ @ span_FR.T
        done = bool(np.max(machine.n_iter_) < fusion.max_iterations)
        found[l2] = Solution(_of_two(weight), _of_two(machine.intercept_.copy()), done)
    return [found[l2] for l2 in l2s]


def _normalizer(train: Embeddings, stream: str, normalization: str) -> Normalizer:
    from sklearn.preprocessing import StandardScaler

    vectors_ND = train.vectors[stream][train.present[stream]].astype(np.float64)
    if normalization != "standardize":
        return Normalizer(vectors_ND.shape[1], normalization)
    scaler = StandardScaler().fit(vectors_ND)
    return Normalizer(vectors_ND.shape[1], normalization, scaler.mean_, scaler.scale_)


def _of_two(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of two classes scikit-learn gives the second one's row only."""
    return np.concatenate([-rows, rows]) if len(rows) == 1 else rows
