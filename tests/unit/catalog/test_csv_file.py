"""The CSV: every way of writing one that a spreadsheet has, and refusals that name the line."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrec.catalog.csv_file import read_csv
from actionrec.catalog.source import SourceFile
from actionrec.errors import InputError

SOURCE = "data/clips.csv"


def write(*rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def refusal(content, listing=(), source=SOURCE):
    with pytest.raises(InputError) as caught:
        read_csv(listing, content, source)
    return str(caught.value)


def test_all_four_columns_in_any_order_and_case(listing):
    content = b"\xef\xbb\xbfSplit, Label,path,group\r\nTRAIN, jump ,a/x.mp4,g1\r\n\r\ntest,run,b.mp4,\r\n"
    draft = read_csv(listing("a/x.mp4", "b.mp4"), content, SOURCE)
    assert draft.warnings == []
    assert [video[:6] for video in draft.videos] == [
        ("a/x.mp4", "data/a/x.mp4", "jump", "g1", "train", 7),
        ("b.mp4", "data/b.mp4", "run", None, "test", 7),
    ]


def test_path_alone_is_enough(listing):
    (video,) = read_csv(listing("x.mp4"), b"path\nx.mp4\n", SOURCE).videos
    assert (video.label, video.group, video.split) == (None, None, None)


@pytest.mark.parametrize(
    ("source", "path"),
    [("clips.csv", "./~x.mp4"), ("/clips.csv", "/~x.mp4"), ("s3://b/p/clips.csv", "s3://b/p/~x.mp4")],
)
def test_paths_are_relative_to_the_csv_and_never_begin_with_what_a_row_says(listing, source, path):
    assert read_csv(listing("~x.mp4"), b"path\n~x.mp4\n", source).videos[0].path == path


FILE_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\\"), min_size=1, max_size=40)


@given(st.lists(FILE_NAMES, min_size=1, max_size=5, unique_by=lambda name: unicodedata.normalize("NFC", name)))
def test_any_name_a_file_system_allows_round_trips(names):
    names = ["d/" + name for name in names if name.strip() and name not in (".", "..")] or ["d/x"]
    draft = read_csv([SourceFile(name, 1) for name in names], write(["path"], *([name] for name in names)), SOURCE)
    assert [video.path for video in draft.videos] == ["data/" + name for name in names]
    assert [video.video_id for video in draft.videos] == [unicodedata.normalize("NFC", name) for name in names]
    assert all(video.bytes == 1 for video in draft.videos)


def test_a_name_of_1000_characters_and_a_leading_dash(listing):
    names = ("x" * 1000 + ".mp4", "-rf.mp4")
    assert len(read_csv(listing(*names), write(["path"], *([name] for name in names)), SOURCE).videos) == 2


@pytest.mark.parametrize(
    "path",
    [
        "../up.mp4", "a/../../up.mp4", "a/..", "..\\up.mp4", "/etc/passwd", "\\\\server\\x", "C:\\x.mp4",
        "http://169.254.169.254/x", "file:///etc/passwd", "s3://other/x.mp4", "./http://x", "con:", "concat:a|b",
        "subfile,,start,0,end,0,,:/etc/passwd", "x\0.mp4", "", " ", ".", "./",
    ],
)  # fmt: skip
def test_paths_that_leave_the_source_are_refused_with_their_line(path, listing):
    message = refusal(write(["path", "label"], ["ok.mp4", "a"], [path, "a"]), listing("ok.mp4"))
    assert message.startswith(f"{SOURCE}, line 3: the path")


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"", f"{SOURCE}, line 1: there is no column 'path'"),
        (b"name;label\nx.avi1;a\n", f"{SOURCE}, line 1: there is no column 'path' among ['name', 'label']"),
        (b"file,filename\n", f"{SOURCE}, line 1: the columns 'file' and 'filename' could both be the path"),
        (b"path,class,action\n", f"{SOURCE}, line 1: the columns 'class' and 'action' could both be the label"),
        (b"path,label;path\n", f"{SOURCE}, line 1: the columns could be separated by a comma or by a semicolon"),
        ("path\nx.mp4\n".encode("utf-16-le"), f"{SOURCE}, line 1: it holds NUL bytes, as UTF-16 without its mark"),
        ("path\nx.mp4\n".encode("utf-16") + b"\0", f"{SOURCE}, line 3: not UTF-8"),
        (b"a.mp4,b.mp4\nc.mp4,d.mp4\n", f"{SOURCE}: there is no header, and columns 1 and 2 could both be the path"),
        (b"a.mp4,run,Ann\n", f"{SOURCE}: there is no header, and columns 2 and 3 could both be the label"),
        (b"a.mp4,run\nb.mp4\n", f"{SOURCE}, line 2: 1 fields where the first line has 2"),
        (b"path,label,Label\n", f"{SOURCE}, line 1: the column 'label' is there twice"),
        (b"path,label\n", f"{SOURCE} names no videos"),
        (b"path,label\nx.mp4\n", f"{SOURCE}, line 2: 1 fields where the header has 2"),
        (b'path,label\n"x.mp4,a\nb,c\n', f"{SOURCE}, line 2: unexpected end of data"),
        (b"path,split\nx.mp4,train\ny.mp4,hold\n", f"{SOURCE}, line 3: the split 'hold' is not one of"),
        (b"path,split\nx.mp4,train\ny.mp4,\n", f"{SOURCE}, line 3: no split, while other lines have one"),
        (b"path\nx.mp4\n\xff.mp4\n", f"{SOURCE}, line 3: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_by_line(content, start):
    assert refusal(content).startswith(start)


@pytest.mark.parametrize("again", ["a/x.mp4", "./a//x.mp4"])
def test_duplicates_name_both_lines_even_after_a_name_with_line_breaks(again):
    message = refusal(write(["path"], ["a/x.mp4"], ["two\nlines.mp4"], [again]))
    assert message.startswith(f"{SOURCE}, lines 2 and 5: both name 'a/x.mp4'")


def test_nfc_and_nfd_are_the_same_name():
    message = refusal("path\ncaf\u00e9.mp4\ncafe\u0301.mp4\n".encode())
    assert message.startswith(f"{SOURCE}, lines 2 and 3: both name")


def test_a_csv_in_nfc_finds_the_decomposed_file_on_disk(listing):
    (video,) = read_csv(listing("cafe\u0301.mp4"), "path\ncaf\u00e9.mp4\n".encode(), SOURCE).videos
    assert (video.video_id, video.path, video.bytes) == ("caf\u00e9.mp4", "data/cafe\u0301.mp4", 7)


def test_a_missing_file_keeps_its_row_and_is_named_with_its_line(listing):
    draft = read_csv(listing("x.mp4", "Fight/z.mp4"), b"path\nx.mp4\ny.mp4\nfight/z.mp4\n", SOURCE)
    assert [video.bytes for video in draft.videos] == [7, None, None]
    missing, recased = draft.warnings
    assert "2 of the 3 files" in missing
    assert "'y.mp4', line 3" in missing
    assert f"{SOURCE}, line 4: 'fight/z.mp4' is not there, but 'Fight/z.mp4' is" in recased


def test_other_columns_are_named_in_a_warning(listing):
    (warning,) = read_csv(listing("x.mp4"), b"path,lable,,fps\nx.mp4,a,,25\n", SOURCE).warnings
    assert "lable, fps" in warning
