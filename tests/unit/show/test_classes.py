"""Classes by split: every video is counted once, and a hundred classes fit a screen."""

from actionrec.show.classes import ENDS, SHOWN, by_split


def test_each_class_has_its_videos_by_split_the_largest_first() -> None:
    labels = ["walk", "run", "run", "run", None]
    splits = ["train", "train", "val", "test", "train"]
    found = by_split(labels, splits)
    assert found.columns == ["class", "train", "val", "test", "all"]
    assert found.rows == [
        ["run", 1, 1, 1, 3],
        ["walk", 1, 0, 0, 1],
        ["(no label)", 1, 0, 0, 1],
        ["all", 3, 1, 1, 5],
    ]


def test_of_many_classes_the_largest_and_the_smallest_are_shown_and_the_rest_is_counted() -> None:
    labels = [f"class {number:03d}" for number in range(101) for _ in range(number + 1)]
    found = by_split(labels, ["train"] * len(labels))
    assert len(found.rows) == 2 * ENDS + 2 <= SHOWN
    assert found.rows[0][0] == "class 100" and found.rows[-2][0] == "class 000"
    assert found.rows[ENDS] == ["(91 more, of 96 to 6)", 91 * 51, 91 * 51]
    assert found.rows[-1] == ["all", len(labels), len(labels)]


def test_what_has_no_split_yet_is_counted_too() -> None:
    assert by_split(["a"], [None]).rows[-1] == ["all", 1, 1]
