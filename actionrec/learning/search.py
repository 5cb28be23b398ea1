"""The search over the fused SVM's settings: streams, normalisation and L2 weight, chosen on validation.

Never by cross-validation inside train, which the recurrent networks know too well; see docs/decisions/0021-svm.md.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionrec.config import Fusion
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.fusion import FusedModel, fit_path, normalizations, subsets
from actionrec.learning.linear import NORMALIZATIONS, Kind
from actionrec.learning.metrics import top_k

PAPER_L2 = 1e-2  # (V.D)


@dataclass(frozen=True)
class Setting:
    """One SVM that may be fitted."""

    streams: tuple[str, ...]
    normalization: str
    l2: float  # lambda

    def of(self, fusion: Fusion) -> Fusion:
        """The configuration of fusion with this setting's normalisation and L2 weight."""
        return dataclasses.replace(fusion, normalization=self.normalization, l2=self.l2)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{' + '.join(self.streams)}, {self.normalization}, lambda {self.l2:g}"


def settings(streams: Sequence[str], fusion: Fusion, l2s: Sequence[float]) -> list[Setting]:
    """Every subset of streams with every normalisation and L2 weight; the paper's and one's own are always among them.

    Those of a subset and a normalisation follow each other, their L2 weights ascending.
    """
    grid = sorted({*l2s, fusion.l2, PAPER_L2})
    return [Setting(*each) for each in itertools.product(subsets(streams), normalizations(fusion), grid)]


def paths(streams: Sequence[str], fusion: Fusion, l2s: Sequence[float]) -> list[list[Setting]]:
    """The settings of all of these streams together, those that differ in their L2 weight alone side by side."""
    of_all = [each for each in settings(streams, fusion, l2s) if each.streams == tuple(streams)]
    return [list(of_one) for _, of_one in itertools.groupby(of_all, key=lambda each: each.normalization)]


def attempts(
    settings: Sequence[Setting],
    train: Embeddings,
    train_target_N: NDArray[np.int64],
    val: Embeddings,
    val_target_N: NDArray[np.int64],
    labels: Sequence[str],
    fusion: Fusion,
    seed: int,
    kind: Kind = "svm",
) -> list[tuple[FusedModel, float]]:
    """The classifier of each of these settings, which differ in their L2 weight alone, and its top-1 on validation.

    A video without any of the streams counts as wrong. Where the rule for missing streams is to be chosen, `mask`
    stands for both: `pattern` costs a classifier for every set of streams. InputError where there is nothing to learn.
    """
    rule = "mask" if fusion.missing == "auto" else fusion.missing
    chosen, tried = train.of(settings[0].streams), val.of(settings[0].streams)
    normalization, l2s = settings[0].normalization, [setting.l2 for setting in settings]
    models = fit_path(chosen, train_target_N, labels, kind, normalization, rule, l2s, fusion, seed)
    return [(model, top_k(model.quick(tried), val_target_N, 1) or 0.0) for model in models]


def best(top1: Mapping[Setting, float]) -> Setting:
    """The setting that is best on validation.

    Of equals the one with the most streams, then the L2 weight nearest to the paper's, then the first normalisation.
    """

    def rank(setting: Setting) -> tuple[float, int, float, int]:
        from_paper = abs(math.log10(setting.l2 / PAPER_L2))
        return -top1[setting], -len(setting.streams), from_paper, NORMALIZATIONS.index(setting.normalization)

    return min(top1, key=rank)
