"""Who is in train, validation and test: whole groups, each class in proportion, decided by the seed alone.

Clips of one group are near copies of each other, so a random cut would let a model pass the test by memory. Official
splits are kept; what they leave open (usually validation) is cut from train, never from test.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FOLDS = 5  # one fold of five is held out: 20 %
MANY_GROUPS = 2000  # StratifiedGroupKFold takes about half a millisecond a group, and memory of groups x classes

Codes = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def assign_splits(
    labels: Sequence[str | None], groups: Sequence[str], given: Sequence[str | None], seed: int
) -> list[str | None]:
    """The split of each video: train, val or test.

    No split given at all: 20 % test, and 20 % of the rest validation. Splits given without validation: 20 % of train.
    Otherwise as given; a video without a split, where others have one, stays without. Videos without a label count
    as one more class. What cannot be cut (a single group, classes of one group) stays in train, and
    ``checks.problems`` reports the split that is empty for it.
    """
    import pandas as pd

    classes = pd.factorize(np.array([label or "" for label in labels], dtype=object))[0]
    group_codes = pd.factorize(np.array(groups, dtype=object))[0]
    split = np.array(given, dtype=object)
    if all(side is None for side in given):
        split[:] = "train"
        _cut(split, "test", classes, group_codes, seed)
    if "val" not in split:
        _cut(split, "val", classes, group_codes, seed)
    return list(split)


def _cut(split: npt.NDArray[np.object_], name: str, classes: Codes, groups: Codes, seed: int) -> None:
    """Rename about a fifth of ``train`` to ``name``, in place."""
    train = np.flatnonzero(split == "train")
    if train.size:
        split[train[_held_out(classes[train], np.unique(groups[train], return_inverse=True)[1], seed)]] = name


def _held_out(classes: Codes, groups: Codes, seed: int) -> Mask:
    """[N] bool: of five folds of whole groups, the one that comes nearest to a fifth of every class."""
    folds = _dealt(classes, groups, seed) if groups.max() >= MANY_GROUPS else _stratified(classes, groups, seed)
    may_go = ~_irreplaceable(classes, groups)
    return min(((folds == fold) & may_go for fold in range(FOLDS)), key=lambda held: _badness(held, classes))


def _stratified(classes: Codes, groups: Codes, seed: int) -> Codes:
    """[N] the fold of each video; -1 for all where fewer than two folds are possible."""
    folds = np.full(len(classes), -1)
    n_folds = min(FOLDS, int(groups.max()) + 1, int(np.bincount(classes).max()))
    if n_folds > 1:
        from sklearn.model_selection import StratifiedGroupKFold

        kind = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes smaller than five: _badness weighs them
            for fold, (_, held) in enumerate(kind.split(classes, classes, groups)):
                folds[held] = fold
    return folds


def _dealt(classes: Codes, groups: Codes, seed: int) -> Codes:
    """[N] the fold of each video, in linear time: groups sorted by class and size, dealt like cards.

    Of each class every fold gets the same number of groups, give or take one. A group counts for its first video's
    class: with thousands of groups the few that mix classes even out.
    """
    _, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(first)), -sizes, classes[first]))
    fold_of_group = np.empty(len(first), dtype=np.intp)
    fold_of_group[order] = np.arange(len(first)) % FOLDS
    return fold_of_group[groups]


def _irreplaceable(classes: Codes, groups: Codes) -> Mask:
    """[N] bool: videos of a group that is the only one of some class; held out, that class could not be learnt."""
    n_groups = groups.max() + 1
    pair_class, pair_group = np.divmod(np.unique(classes * n_groups + groups), n_groups)
    only = np.bincount(pair_class)[pair_class] == 1
    return np.isin(groups, pair_group[only])


def _badness(held: Mask, classes: Codes) -> tuple[int, int, float]:
    """Worst first: classes that nothing is left of to learn from, classes that are not held out, distance from 20 %."""
    counts = np.bincount(classes)
    taken = np.bincount(classes[held], minlength=len(counts))[counts > 0]
    counts = counts[counts > 0]
    return int((taken == counts).sum()), int((taken == 0).sum()), float(abs(taken - counts / FOLDS).sum())
