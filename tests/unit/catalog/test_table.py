"""The catalog as a whole: the contract's columns, the same table for the same data, warnings where they are due."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionrec.catalog.source import SourceFile
from actionrec.catalog.table import build
from actionrec.config import Data
from actionrec.errors import InputError
from actionrec.schema import CATALOG


def unread(path):
    raise AssertionError(f"{path} should not have been read")


def folder(listing, *names):
    return build(listing(*names), unread, "src", Data(), 0)


def from_csv(content, listing, **data):
    return build(listing, lambda path: {"src/clips.csv": content}[path], "src/clips.csv", Data("csv", "csv", **data), 0)


def test_the_table_has_the_contract_schema_sorted_by_id(listing):
    found = folder(listing, "run/b.mp4", "jump/\u00e9.mp4", "jump/z.mp4", "top.mp4").table
    assert found.schema == CATALOG
    assert found["video_id"].to_pylist() == ["jump/z.mp4", "jump/\u00e9.mp4", "run/b.mp4", "top.mp4"]
    assert found["class_index"].to_pylist() == [0, 0, 1, None]
    assert found["group"].to_pylist() == found["video_id"].to_pylist()
    assert found["bytes"].to_pylist() == [7, 7, 7, 7]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99)), min_size=1, max_size=40, unique=True), st.randoms()
)
def test_the_order_of_the_listing_does_not_matter(names, order: random.Random):
    files = [SourceFile(f"{label}/v_X_g{number // 10:02d}_c{number:02d}.avi", number) for label, number in names]
    shuffled = order.sample(files, len(files))
    assert build(files, unread, "src", Data(), 0) == build(shuffled, unread, "src", Data(), 0)


def test_an_ucf101_class_index_is_the_official_number_even_where_classes_are_absent():
    files = {
        "src/splits/classInd.txt": b"1 A\n2 B\n3 C\n",
        "src/splits/trainlist02.txt": b"C/v_C_g01_c01.avi 3\nA/v_A_g01_c01.avi 1\n",
        "src/splits/testlist02.txt": b"C/v_C_g02_c01.avi\n",
    }
    names = [path.removeprefix("src/") for path in files] + ["C/v_C_g01_c01.avi", "C/v_C_g02_c01.avi"]
    found = build([SourceFile(name, 1) for name in names], files.__getitem__, "src", Data("src", "ucf101", 2), 0)
    assert found.table["class_index"].to_pylist() == [2, 2]
    assert found.table["split"].to_pylist() == ["train", "test"]
    assert "2 of the 3 videos listed for split 2 are in src" in found.warnings


def test_missing_groups_and_labels_are_counted(listing):
    warnings = folder(listing, "a/x.mp4", "a/v_A_g01_c01.mp4", "top.mp4").warnings
    assert any(text.startswith("2 of 3 videos have no group, so each is a group by itself") for text in warnings)
    assert any(text.startswith("1 of 3 videos have no label") and "'top.mp4'" in text for text in warnings)


def test_nothing_labelled_is_said_once(listing):
    warnings = folder(listing, "x.mp4", "y.mp4").warnings
    assert sum("label" in text for text in warnings) == 1


def test_names_that_differ_only_in_case_are_pointed_out(listing):
    warnings = folder(listing, "Fight/x.mp4", "fight/x.mp4").warnings
    assert sum("differ only in case" in text for text in warnings) == 2  # the videos and the classes


def test_a_name_that_is_not_utf8_is_refused_not_dropped(listing):
    with pytest.raises(InputError, match="is not valid UTF-8; rename it"):
        folder(listing, "a/x.mp4", "a/bad\udcff.mp4")


def test_a_csv_split_that_tears_a_group_is_refused_unless_allowed(listing):
    content = b"path,label,group,split\nx.mp4,a,g,train\ny.mp4,b,h,train\nz.mp4,a,g,test\n"
    with pytest.raises(InputError, match="the group 'g' is in train"):
        from_csv(content, listing("x.mp4", "y.mp4", "z.mp4"))
    found = from_csv(content, listing("x.mp4", "y.mp4", "z.mp4"), allow_group_leak=True)
    assert any("accepted by data.allow_group_leak" in text for text in found.warnings)
    assert found.table["split"].to_pylist()[2] == "test"


def test_real_clips_give_a_catalog_without_warnings(shared_data):
    folder = shared_data / "fight"
    listing = [SourceFile(path.relative_to(folder).as_posix(), path.stat().st_size) for path in folder.rglob("*.mp4")]
    found = from_csv((folder / "clips.csv").read_bytes(), listing)
    assert found.warnings == []
    assert found.table.num_rows == 173
    assert found.table["bytes"].null_count == 0
    assert set(found.table["split"].to_pylist()) == {"train", "val", "test"}
