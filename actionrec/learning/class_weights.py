"""Weights of every class on every stream's scores of every class: the fusion of "Multi-stream" (Wu et al. 2016).

    min over W_c of   mean logistic loss of class c against the rest + pull |W_c - V_c|^2 + sparsity |W_c|_1

V says what each stream's answers meant on validation videos. The paper calls `pull` lambda 1 and `sparsity` lambda 2.
Its exact objective is not published in what we could read: this is our reading, and its reasons are in
docs/decisions/0028-multi-stream-fusion.md.

The bias is not learnt: b_c = logit(1 / C). A stream's scores sum to 1, so a bias of each class is among the weights
already, and there the prior holds it. Free of it, under a strong pull it would rank classes by how often they occurred.

Axes: N videos, S streams, C classes (K where a stream's own scores are meant), F = S * K.
Scores [S, N, C] are softmax outputs; a row of NaN is a video that lacks the stream. Such a stream adds nothing to the
sum, and the others count S / (streams of the video) times as much: V and the mean then treat it like a whole video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from actionrec.errors import InputError
from actionrec.learning.metrics import confusion, top_k

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
WeightKind = Literal["mean", "free", "prior", "both"]

KINDS: tuple[WeightKind, ...] = ("mean", "free", "prior", "both")
PULLS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
SPARSITIES = (1e-2, 1e-3, 1e-4, 1e-5)
RIDGE = 1e-5  # of `free`: a stream's scores sum to 1, so without any pull the weights would not be determined
SETTINGS: dict[WeightKind, tuple[tuple[float, float], ...]] = {  # (pull, sparsity), the strongest first
    "mean": ((0.0, 0.0),),  # nothing is learnt
    "free": ((RIDGE, 0.0),),
    "prior": tuple((pull, 0.0) for pull in PULLS),
    "both": tuple((pull, sparsity) for pull in PULLS for sparsity in SPARSITIES),
}
FOLDS = 5
RESIDUAL = 1e-7  # how long a step may still be, per unit of its size, in any weight: 0 at the optimum and nowhere else
MAX_STEPS = 20_000  # then the weights say that they did not converge
CHECKED_EVERY = 10  # steps


@dataclass(frozen=True)
class Weights:
    """What class c makes of stream s that says k."""

    weight: Array  # [C, S, K]
    bias: Array  # [C], the same for all
    converged: bool


class Choice(NamedTuple):
    """Settings chosen by cross-validation, their top-1 there (None where there is but one class), and the scores."""

    pull: float
    sparsity: float
    top1: float | None
    scores: Array  # [N, C], of each video by weights that were not learnt on its group


def prior(scores_SNC: Array, target_N: Classes) -> Array:
    """V, float64 [C, S, K]: of the videos that stream s takes for class k the share that is of class c, over S.

    Each stream's own columns therefore sum to 1 / S. Of a class that a stream never says, it is taken at its word.
    """
    streams, _, classes = scores_SNC.shape
    found = np.empty((classes, streams, classes))
    for stream, scores_NC in enumerate(scores_SNC):
        counts_CK = confusion(scores_NC, target_N)
        said_K = counts_CK.sum(axis=0)
        found[:, stream] = np.where(said_K > 0, counts_CK / np.maximum(said_K, 1), np.eye(classes)) / streams
    return found


def fit(scores_SNC: Array, target_N: Classes, prior_CSK: Array, pull: float, sparsity: float) -> Weights:
    """The optimum for one pull and one sparsity, not both 0, by all videos that have a stream.

    InputError: there are none.
    """
    return _path(scores_SNC, target_N, prior_CSK, [(pull, sparsity)])[0]


def learn(kind: WeightKind, scores_SNC: Array, target_N: Classes, pull: float, sparsity: float) -> Weights:
    """The weights of one row of the table, for the pull and the sparsity that `choose` found."""
    return _learnt(kind, scores_SNC, target_N, [(pull, sparsity)])[0]


def scores(weights: Weights, scores_SNC: Array) -> Array:
    """Fused scores, float64 [N, C]; a row of NaN where a video has no stream.

    Added up a video at a time, so that a video by itself has the same digits (as in `linear`).
    """
    feature_NSK = _features(scores_SNC)
    return np.stack([np.einsum("csk,sk->c", weights.weight, video_SK) + weights.bias for video_SK in feature_NSK])


def choose(scores_SNC: Array, target_N: Classes, groups: Sequence[str], kind: WeightKind) -> Choice:
    """The setting of best top-1 on videos whose groups the weights were not learnt on; of equals the strongest.

    Folds are of whole groups, as clips of a group are near copies. InputError: fewer than two groups, or a fold beside
    which no video with a stream is left.
    """
    settings = SETTINGS[kind]
    if kind == "mean":  # nothing is learnt, so nothing need be held out
        plain_NC = scores(_learnt(kind, scores_SNC, target_N, settings)[0], scores_SNC)
        return Choice(*settings[0], top_k(plain_NC, target_N, 1), plain_NC)
    fold_N = _folds(target_N, groups)
    held_out = np.empty((len(settings), len(target_N), scores_SNC.shape[2]))
    for fold in np.unique(fold_N):
        held, rest = fold_N == fold, fold_N != fold
        fitted = _learnt(kind, scores_SNC[:, rest], target_N[rest], settings)
        held_out[:, held] = [scores(weights, scores_SNC[:, held]) for weights in fitted]
    top1 = [top_k(scores_NC, target_N, 1) for scores_NC in held_out]
    best = max(range(len(settings)), key=lambda place: (top1[place] or 0.0, -place))
    return Choice(*settings[best], top1[best], held_out[best])


def _folds(target_N: Classes, groups: Sequence[str]) -> NDArray[np.int64]:
    """[N]: groups sorted by class and name, dealt like cards, so that the groups of a class go to different folds."""
    names, first_G, group_N = np.unique(np.asarray(groups, dtype=object), return_index=True, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            "settings of the fusion's weights are chosen between groups of validation videos, and there are "
            f"{len(names)}; use fusion by the mean or a catalog with more groups"
        )
    fold_G = np.empty(len(names), dtype=np.int64)
    fold_G[np.argsort(target_N[first_G], kind="stable")] = np.arange(len(names)) % FOLDS
    return fold_G[group_N]


def _learnt(
    kind: WeightKind, scores_SNC: Array, target_N: Classes, settings: Sequence[tuple[float, float]]
) -> list[Weights]:
    streams, _, classes = scores_SNC.shape
    if kind == "mean":
        own_CSK = np.repeat(np.eye(classes)[:, None], streams, axis=1) / streams
        return [Weights(own_CSK, np.zeros(classes), converged=True) for _ in settings]
    free = kind == "free"
    target_CSK = np.zeros((classes, streams, classes)) if free else prior(scores_SNC, target_N)
    return _path(scores_SNC, target_N, target_CSK, settings)


def _features(scores_SNC: Array) -> Array:
    """[N, S, K]: zeros for a stream that a video lacks, the others scaled by S over the number of those that it has."""
    lacks_SN = np.isnan(scores_SNC.sum(axis=2))
    has_N = (~lacks_SN).sum(axis=0)
    scale_N = len(scores_SNC) / np.where(has_N > 0, has_N, np.nan)
    found: Array = np.where(lacks_SN[..., None], 0.0, scores_SNC).transpose(1, 0, 2) * scale_N[:, None, None]
    return found


@dataclass(frozen=True)
class _Problem:
    """Classes against the rest, a column a class."""

    feature_NF: Array
    own_NC: NDArray[np.bool_]
    prior_FC: Array
    bias: float
    pull: float
    sparsity: float
    curvature: float  # the Lipschitz constant of the loss's slope

    def of(self, left: NDArray[np.int64]) -> "_Problem":
        """The same of some classes."""
        return replace(self, own_NC=self.own_NC[:, left], prior_FC=self.prior_FC[:, left])

    def stepped(self, weight_FC: Array) -> Array:
        """A step down the loss, then the proximal map of pull and sparsity, which have it in closed form."""
        probability_NC = expit(self.feature_NF @ weight_FC + self.bias)
        slope_FC = self.feature_NF.T @ (probability_NC - self.own_NC) / len(self.own_NC)
        aim_FC = self.curvature * weight_FC - slope_FC + 2 * self.pull * self.prior_FC
        shrunk_FC = np.maximum(np.abs(aim_FC) - self.sparsity, 0) / (self.curvature + 2 * self.pull)
        found: Array = np.sign(aim_FC) * shrunk_FC
        return found

    def residual(self, weight_FC: Array) -> Array:
        """[C]: the longest way of a weight in one step, times the curvature: without pull and sparsity, its slope."""
        found: Array = np.abs(self.stepped(weight_FC) - weight_FC).max(axis=0) * self.curvature
        return found


def _path(
    scores_SNC: Array, target_N: Classes, prior_CSK: Array, settings: Sequence[tuple[float, float]]
) -> list[Weights]:
    """The optimum for each setting, each looked for from where the last one was found, the first from V."""
    feature_NSK = _features(scores_SNC)
    used = ~np.isnan(feature_NSK[:, 0, 0])
    if not used.any():
        raise InputError(
            "the fusion's weights need validation videos that have a stream, also beside each fold of their groups, "
            "and there are none; use fusion by the mean"
        )
    classes = len(prior_CSK)
    feature_NF = feature_NSK[used].reshape(-1, prior_CSK[0].size)
    own_NC = target_N[used, None] == np.arange(classes)
    weight_FC = prior_FC = prior_CSK.reshape(classes, -1).T
    curvature = float(np.linalg.eigvalsh(feature_NF.T @ feature_NF)[-1]) / len(feature_NF) / 4
    bias = float(logit(1 / classes))
    found = []
    for pull, sparsity in settings:
        problem = _Problem(feature_NF, own_NC, prior_FC, bias, pull, sparsity, curvature)
        weight_FC, converged = _descend(problem, weight_FC)
        found.append(Weights(weight_FC.T.reshape(prior_CSK.shape), np.full(classes, bias), converged))
    return found


def _descend(problem: _Problem, start_FC: Array) -> tuple[Array, bool]:
    """FISTA (Beck and Teboulle 2009), in which a class's momentum starts again where it points uphill.

    That is O'Donoghue and Candes's gradient scheme (2015). Classes leave the iteration as they arrive.
    """
    found_FC, left = start_FC.copy(), np.arange(start_FC.shape[1])
    point_FC, before_FC, inertia_C = start_FC, start_FC, np.ones(len(left))
    for step in range(MAX_STEPS + 1):
        if step % CHECKED_EVERY == 0 or step == MAX_STEPS:
            found_FC[:, left] = point_FC
            stay = problem.residual(point_FC) > RESIDUAL
            if not stay.any():
                return found_FC, True
            left, problem, inertia_C = left[stay], problem.of(np.flatnonzero(stay)), inertia_C[stay]
            point_FC, before_FC = point_FC[:, stay], before_FC[:, stay]
        grown_C = (1 + np.sqrt(1 + 4 * inertia_C**2)) / 2
        ahead_FC = point_FC + (inertia_C - 1) / grown_C * (point_FC - before_FC)
        before_FC, point_FC = point_FC, problem.stepped(ahead_FC)
        uphill_C = ((ahead_FC - point_FC) * (point_FC - before_FC)).sum(axis=0) > 0
        inertia_C = np.where(uphill_C, 1.0, grown_C)
    return found_FC, False
