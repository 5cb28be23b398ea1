"""Splits: whole groups, classes in proportion, the same every time, and sane where the data are too few."""

from collections import Counter, defaultdict

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionrec.catalog import splits
from actionrec.catalog.splits import assign_splits

LABELS = st.sampled_from(["a", "b", "c", None])
VIDEOS = st.lists(st.tuples(LABELS, st.integers(0, 8).map("g{}".format)), min_size=1, max_size=60)


def assign(videos, given_splits=None, seed=0):
    labels, groups = zip(*videos, strict=True)
    return assign_splits(labels, groups, given_splits or [None] * len(videos), seed)


def spread(videos, assigned):
    """The splits of each group."""
    found = defaultdict(set)
    for (_, group), side in zip(videos, assigned, strict=True):
        found[group].add(side)
    return found


@pytest.mark.parametrize("many_groups", [splits.MANY_GROUPS, 1])
@settings(max_examples=60)
@given(videos=VIDEOS, seed=st.integers(0, 3))
def test_every_video_has_a_split_no_group_straddles_and_every_class_can_be_learnt(many_groups, videos, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "MANY_GROUPS", many_groups)
        assigned = assign(videos, seed=seed)
        assert assign(videos, seed=seed) == assigned
    assert set(assigned) <= {"train", "val", "test"}
    assert all(len(sides) == 1 for sides in spread(videos, assigned).values())
    assert "train" in assigned
    groups_of_class = defaultdict(set)
    for label, group in videos:
        groups_of_class[label].add(group)
    learnt = {label for (label, _), side in zip(videos, assigned, strict=True) if side == "train"}
    assert learnt >= {label for label, groups in groups_of_class.items() if len(groups) == 1}


@settings(max_examples=40)
@given(videos=VIDEOS)
def test_validation_comes_from_train_and_nothing_given_is_moved(videos):
    side_of_group = {group: "test" if group in ("g0", "g1") else "train" for _, group in videos}
    official = [side_of_group[group] for _, group in videos]
    assigned = assign(videos, official)
    assert all(new == old or (old, new) == ("train", "val") for old, new in zip(official, assigned, strict=True))
    assert all(len(sides) == 1 for sides in spread(videos, assigned).values())


def test_given_validation_is_kept_and_a_video_without_a_split_stays_without():
    videos = [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")]
    assert assign(videos, ["train", "train", "val", "test"]) == ["train", "train", "val", "test"]
    assert assign(videos * 5, ["train", "train", "test", None] * 5).count(None) == 5


@pytest.mark.parametrize(
    ("n_videos", "videos_a_group"),
    [(1000, 1), (1000, 4), (12_000, 1), (12_000, 4)],  # on both sides of MANY_GROUPS
)
def test_a_fifth_is_test_a_fifth_of_the_rest_validation_in_every_class(n_videos, videos_a_group):
    n_groups = n_videos // videos_a_group
    videos = [("abcd"[group % 4], str(group)) for group in range(n_groups)] * videos_a_group
    shares = pd.crosstab([label for label, _ in videos], assign(videos), normalize="index")
    one_group = 4 * videos_a_group / n_videos
    assert (shares["test"] - 0.20).abs().max() <= one_group
    assert (shares["val"] - 0.16).abs().max() <= one_group


def test_another_seed_cuts_elsewhere():
    videos = [("ab"[number % 2], str(number)) for number in range(100)]
    assert assign(videos, seed=0) != assign(videos, seed=1)


@pytest.mark.parametrize(
    ("videos", "counts"),
    [
        ([("a", "1")], {"train": 1}),
        ([("a", "1"), ("a", "1"), ("b", "1")], {"train": 3}),  # one group cannot be cut
        ([(label, label) for label in "abcdef"] * 5, {"train": 30}),  # held out, a class could not be learnt
        ([("a", "1"), ("b", "2"), ("c", "3")], {"train": 3}),
        ([("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")], {"train": 2, "test": 2}),
        ([("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "3"), ("b", "3")], {"train": 2, "val": 2, "test": 2}),
        ([(None, str(number)) for number in range(25)], {"train": 16, "val": 4, "test": 5}),
    ],
    ids=["one video", "one group", "one group a class", "one video a class", "two groups", "three groups", "no labels"],
)
def test_small_data(videos, counts):
    assert Counter(assign(videos)) == counts


def test_real_clips_by_group(shared_data):
    clips = pd.read_csv(shared_data / "fight" / "clips.csv", dtype=str)
    clips["split"] = assign_splits(list(clips["label"]), list(clips["group"]), [None] * len(clips), 0)
    assert clips.groupby("group")["split"].nunique().eq(1).all()
    shares = pd.crosstab(clips["label"], clips["split"], normalize="index")
    assert shares["test"].between(0.15, 0.25).all()
    assert shares["val"].between(0.11, 0.21).all()
