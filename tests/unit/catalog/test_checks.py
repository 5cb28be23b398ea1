"""The checks before compute: each says which class, group or video, and is silent where nothing is wrong."""

import re

import pyarrow as pa
import pytest

from actionrec.catalog.checks import case_twins, leaks, problems
from actionrec.errors import InputError
from actionrec.schema import CATALOG


def table(*rows):
    """Rows of (video_id, label, group, split)."""
    names = ("video_id", "label", "group", "split")
    records = [{"path": row[0], **dict(zip(names, row, strict=True))} for row in rows]
    return pa.Table.from_pylist(records, schema=CATALOG)


GOOD = [(f"{label}{side}", label, f"{label}{side}", side) for label in ("a", "b") for side in ("train", "val", "test")]


def test_a_sound_catalog_has_no_problems():
    assert problems(table(*GOOD)) == []
    assert problems(table(*GOOD, ("x", None, "x", "train"), ("y", "z", "y", None))) == []
    assert leaks(table(*GOOD), accepted=None) == []


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        ([], ["no video has both a label and a split"]),
        ([("x", None, "x", "train")], ["no video has both a label and a split"]),
        ([row for row in GOOD if row[1] == "a"], ["there is one class, 'a'"]),
        ([row for row in GOOD if row[3] != "val"], ["no labelled video is in the split val"]),
        ([*GOOD, ("c", "c", "c", "test")], ["1 of 3 classes are not in train, .* the first is 'c', only in test:"]),
        (
            [*GOOD, ("c", "c", "c", "test"), ("d", "c", "d", "val")],
            ["1 of 3 classes are not in train, .* the first is 'c', only in test and val:"],
        ),
        (
            [("x", "a", "x", "test")],
            ["there is one class", "no labelled .* train:", "no labelled .* val:", "1 of 1 classes are not in train"],
        ),
    ],
)
def test_problems(rows, sentences):
    found = problems(table(*rows))
    assert len(found) == len(sentences)
    assert all(re.match(sentence, text) for text, sentence in zip(found, sentences, strict=True))


@pytest.mark.parametrize("sides", [("train", "test"), ("val", "train"), ("test", "val")])
def test_a_group_on_two_sides_is_refused_naming_it_and_two_videos(sides):
    leak = table(*GOOD, ("v1", "a", "g7", sides[0]), ("v2", "a", "g7", sides[0]), ("v3", "b", "g7", sides[1]))
    with pytest.raises(InputError) as caught:
        leaks(leak, accepted=None)
    message = str(caught.value)
    assert f"the group 'g7' is in {sides[0]} ('v1') and in {sides[1]} ('v3')" in message
    assert "--set data.allow_group_leak=true" in message
    assert "(1 such groups)" in leaks(leak, accepted="so be it")[0]


def test_a_video_without_a_split_is_on_no_side():
    assert leaks(table(*GOOD, ("x", "a", "atrain", None)), accepted=None) == []


def test_case_twins():
    assert case_twins("the videos", ["a.mp4", "B.mp4", "\u00e9.mp4"]) == []
    (warning,) = case_twins("the videos", ["b.mp4", "c.mp4", "B.mp4", "\u00c9.mp4", "\u00e9.mp4"])
    assert "'B.mp4' and 'b.mp4' differ only in case" in warning
