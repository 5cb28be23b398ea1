"""What can be wrong with a catalog, in sentences a person can act on, before anything is computed."""

from collections.abc import Iterable

import pyarrow as pa

from actionrec.errors import InputError
from actionrec.schema import SPLITS


def problems(table: pa.Table) -> list[str]:
    """Why a model cannot be trained and judged on this catalog: warnings for ``catalog``, errors for ``train``.

    No labels, one class, a split without labelled videos, a class that is in validation or test and not in train.
    ``table`` has the columns label and split of schema.CATALOG. Empty: nothing is wrong.
    """
    frame = table.select(["label", "split"]).to_pandas().dropna()
    if frame.empty:
        return ["no video has both a label and a split: embeddings can be extracted, but nothing can be trained"]
    found = []
    classes = sorted(frame["label"].unique())
    if len(classes) == 1:
        found.append(f"there is one class, {classes[0]!r}: training needs two or more")
    present = set(frame["split"].unique())
    found += [
        f"no labelled video is in the split {split}: give more groups or a split column"
        for split in SPLITS
        if split not in present
    ]
    learnt = set(frame.loc[frame["split"] == "train", "label"])
    unlearnt = [label for label in classes if label not in learnt]
    if unlearnt:
        where = " and ".join(sorted(frame.loc[frame["label"] == unlearnt[0], "split"].unique()))
        found.append(
            f"{len(unlearnt):,} of {len(classes):,} classes are not in train, so nothing can learn them; "
            f"the first is {unlearnt[0]!r}, only in {where}: give it more groups, or remove it"
        )
    return found


def leaks(table: pa.Table, *, accepted: str | None) -> list[str]:
    """The warning about groups that are in more than one split; empty if there are none.

    Raises:
        InputError: there is one, and ``accepted`` does not say why that may be; names it and two of its videos.
    """
    frame = table.select(["video_id", "group", "split"]).to_pandas().dropna(subset=["split"])
    sides = frame.drop_duplicates(["group", "split"]).sort_values(["group", "video_id"])
    torn = sides[sides.duplicated("group", keep=False)]
    if torn.empty:
        return []
    one, other = torn.iloc[0], torn.iloc[1]
    sentence = (
        f"the group {one['group']!r} is in {one['split']} ({one['video_id']!r}) and in {other['split']} "
        f"({other['video_id']!r}), so near copies would be learnt and tested ({torn['group'].nunique():,} such groups)"
    )
    if accepted is None:
        raise InputError(f"{sentence}; move each group to one side, or accept it with --set data.allow_group_leak=true")
    return [f"{sentence}; {accepted}"]


def case_twins(what: str, names: Iterable[str]) -> list[str]:
    """The warning about names that differ only in case; empty if there are none."""
    import pandas as pd

    ordered = pd.Series(sorted(names), dtype=object)
    folded = ordered.str.casefold()
    twins = ordered[folded.duplicated(keep=False)]
    if twins.empty:
        return []
    first, second = twins[folded[twins.index] == folded[twins.index[0]]].iloc[:2]
    return [f"{what} {first!r} and {second!r} differ only in case; if they are the same, give them one spelling"]
