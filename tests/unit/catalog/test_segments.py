"""Segments: rows of one file with times of their own, each a video whose id says which."""

import pytest

from actionrec.catalog.csv_file import read_csv
from actionrec.catalog.table import build
from actionrec.config import Data
from actionrec.errors import InputError

SOURCE = "src/clips.csv"


def draft(listing, *rows, header="path,label,start_s,end_s"):
    return read_csv(listing("x.mp4", "y.mp4"), "\n".join([header, *rows]).encode(), SOURCE)


def test_the_id_holds_the_times_in_their_shortest_form(listing):
    rows = ["x.mp4,a,2.50,10.0", "x.mp4,b,12,", "x.mp4,b,,1.25", "x.mp4,a,1e-5,0.1", "x.mp4,a,1e3,1e16", "x.mp4,c,,"]
    found = draft(listing, *rows, "y.mp4,a,0,").videos
    assert [(video.video_id, video.start_s, video.end_s) for video in found] == [
        ("x.mp4#t=2.5,10", 2.5, 10.0),
        ("x.mp4#t=12", 12.0, None),
        ("x.mp4#t=0,1.25", 0.0, 1.25),
        ("x.mp4#t=0.00001,0.1", 1e-5, 0.1),
        ("x.mp4#t=1000,10000000000000000", 1e3, 1e16),
        ("x.mp4", None, None),
        ("y.mp4", None, None),  # from 0 to the end is the whole file
    ]
    assert {video.path for video in found} == {"src/x.mp4", "src/y.mp4"}
    assert all(video.bytes == 7 for video in found)


@pytest.mark.parametrize("names", ["start_s,end_s", "time_start,time_end", "start,end", "t_start,t_end"])
def test_the_usual_names_of_the_times_are_known(listing, names):
    (video,) = draft(listing, "x.mp4,a,1,2", header=f"path,label,{names}").videos
    assert video.video_id == "x.mp4#t=1,2"


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ("5,5", "ends at '5'"),
        ("5,4", "ends at '4'"),
        (",0", "ends at '0'"),
        ("-1,4", "start '-1'"),
        ("nan,4", "start 'nan'"),
        ("1,inf", "end 'inf'"),
        ("00:01,4", "start '00:01'"),
        ("1,x", "end 'x'"),
    ],
)
def test_times_that_are_none_are_refused_with_their_line(listing, times, named):
    with pytest.raises(InputError) as caught:
        draft(listing, "x.mp4,a,1,2", f"x.mp4,a,{times}")
    assert str(caught.value).startswith(f"{SOURCE}, line 3: the ") and named in str(caught.value)


def test_one_segment_in_two_spellings_is_a_duplicate_and_an_overlap_is_none(listing):
    with pytest.raises(InputError, match=r"lines 2 and 4: both name 'x\.mp4#t=1,2'"):
        draft(listing, "x.mp4,a,1,2", "x.mp4,a,1,3", "./x.mp4,b,1.0,2.00")


def test_segments_of_a_file_share_it_as_their_group_unless_they_have_one(listing):
    found = draft(listing, "x.mp4,a,1,2,", "x.mp4,a,3,4,", "x.mp4,a,5,6,g", header="path,label,start_s,end_s,group")
    assert [video.group for video in found.videos] == ["x.mp4", "x.mp4", "g"]
    (warning,) = found.warnings
    assert "2 segments have no group" in warning


def test_a_file_that_is_the_segment_by_its_name_is_not_cut_again(listing):
    content = b"path,time_start,time_end\nyoga/abc_000012_000022.mp4,12,22\n"
    (video,) = read_csv(listing("yoga/abc_000012_000022.mp4"), content, SOURCE).videos
    assert (video.video_id, video.start_s) == ("yoga/abc_000012_000022.mp4", None)


def test_near_copies_stay_on_one_side_and_the_table_has_the_times(listing):
    names = [f"f{number}.mp4" for number in range(10)]
    rows = [f"{name},{'ab'[place % 2]},{place},{place + 2}" for name in names for place in range(4)]
    content = "\n".join(["path,label,start_s,end_s", *rows]).encode()
    table = build(listing(*names), lambda path: content, SOURCE, Data(SOURCE, "csv"), 0).table
    sides = {}
    for row in table.to_pylist():
        assert row["video_id"] == f"{row['path'].removeprefix('src/')}#t={row['start_s']:g},{row['end_s']:g}"
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 10 and all(len(splits) == 1 for splits in sides.values())
    assert set.union(*sides.values()) == {"train", "val", "test"}
