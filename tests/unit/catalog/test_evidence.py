"""When figures of a test split say nothing."""

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.catalog.evidence import caution


def catalog_table(rows: list[tuple[str, str | None, str, str]]) -> pa.Table:
    columns = ("video_id", "label", "group", "split")
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema=schema.CATALOG)


@pytest.mark.parametrize(
    ("classes", "groups", "clips", "enough"),
    [
        (2, 20, 1, True),  # 20 test videos of 2 classes in 20 groups
        (2, 19, 2, False),  # 19 groups
        (3, 20, 1, False),  # 20 test videos of 3 classes
        (3, 20, 2, True),
    ],
)
def test_ten_test_videos_a_class_and_twenty_groups(classes: int, groups: int, clips: int, enough: bool) -> None:
    rows = [
        (f"{split}{group}-{clip}", f"c{(group * clips + clip) % classes}", f"{split}{group}", split)
        for split in ("train", "test")
        for group in range(groups)
        for clip in range(clips)
    ]
    said = caution(catalog_table(rows))
    assert (said == "") == enough
    if not enough:
        assert f"{groups * clips} test videos of {classes} classes in {groups} groups" in said


def test_without_labelled_test_videos_there_are_no_figures() -> None:
    assert caution(catalog_table([("a", "c0", "g", "train"), ("b", None, "h", "test")])) == ""
