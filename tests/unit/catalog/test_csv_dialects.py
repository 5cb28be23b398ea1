"""CSVs as people have them: other separators, encodings, names of columns and of splits, or no header at all."""

import codecs

import pytest

from actionrec.catalog.csv_file import read_csv

SOURCE = "data/clips.csv"
TEXT = "path,label,group,split\na/x.mp4,Біг,g1,train\nb.mp4,jump,g2,test\n"
EXPECTED = [("a/x.mp4", "data/a/x.mp4", "Біг", "g1", "train", 7), ("b.mp4", "data/b.mp4", "jump", "g2", "test", 7)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_separator_encoding_and_line_end_reads_alike(listing, separator, mark, encoding, newline):
    content = mark + TEXT.replace(",", separator).replace("\n", newline).encode(encoding)
    draft = read_csv(listing("a/x.mp4", "b.mp4"), content, SOURCE)
    assert [video[:6] for video in draft.videos] == EXPECTED
    assert draft.warnings == []


def test_the_line_that_tells_excel_the_separator_is_no_header(listing):
    draft = read_csv(listing("a/x.mp4"), b"sep=;\r\npath;label\r\na/x.mp4;one, two\r\n", SOURCE)
    assert [(video.video_id, video.label) for video in draft.videos] == [("a/x.mp4", "one, two")]


def test_a_separator_within_the_names_of_a_lone_column_separates_nothing(listing):
    names = ("a;b.mp4", "c\td.mp4")
    draft = read_csv(listing(*names), "\n".join(["path", *names]).encode(), SOURCE)
    assert [video.video_id for video in draft.videos] == list(names)


@pytest.mark.parametrize("path", ["path", "file", "Filename", "file_path", "video", "video_path"])
@pytest.mark.parametrize(("label", "split"), [("label", "split"), ("class", "subset"), ("Action", "Split")])
def test_the_usual_names_of_columns_are_known(listing, path, label, split):
    content = f"{split},{label},{path}\ntest,run,x.mp4\n".encode()
    draft = read_csv(listing("x.mp4"), content, SOURCE)
    assert [(video.video_id, video.label, video.split) for video in draft.videos] == [("x.mp4", "run", "test")]
    assert draft.warnings == []


def test_the_plain_name_wins_over_another_one_which_is_told(listing):
    draft = read_csv(listing("x.mp4"), b"video,path,action,label\n17,x.mp4,no,yes\n", SOURCE)
    assert [(video.video_id, video.label) for video in draft.videos] == [("x.mp4", "yes")]
    (warning,) = draft.warnings
    assert "not read are the columns video, action" in warning


SPLITS = {
    "train": ["train", "Training"],
    "val": ["val", "valid", "validate", "VALIDATION", "dev"],
    "test": ["test", "testing"],
}


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in SPLITS.items() for name in names])
def test_splits_go_by_their_usual_names(listing, split, name):
    assert read_csv(listing("x.mp4"), f"path,split\nx.mp4,{name}\n".encode(), SOURCE).videos[0].split == split


@pytest.mark.parametrize(
    ("content", "guess"),
    [
        (b"a/x.mp4,run\nb.mp4,jump\n", "column 1 is path, column 2 is label"),
        (b"run;train;a/x.mp4\njump;validate;b.mp4\n", "column 1 is label, column 2 is split, column 3 is path"),
        (b"a/x.mp4\t3\trun\nb.mp4\t4\tjump\n", "column 1 is path, column 2 is not read, column 3 is label"),
        (b"a/x.mp4,3\nb.mp4,4\n", "column 1 is path, column 2 is label"),
        (b"a/x.mp4\nb.mp4\n", "column 1 is path"),
    ],
)
def test_without_a_header_the_columns_are_guessed_and_told(listing, content, guess):
    draft = read_csv(listing("a/x.mp4", "b.mp4"), content, SOURCE)
    assert [video.video_id for video in draft.videos] == ["a/x.mp4", "b.mp4"]
    (warning,) = draft.warnings
    assert guess in warning and "there is no header" in warning and "the first line" in warning
    if "label" in guess:
        assert {video.label for video in draft.videos} in ({"run", "jump"}, {"3", "4"})


def test_the_listing_decides_what_separates_where_there_is_no_header(listing):
    draft = read_csv(listing("a,b.mp4", "c,d.mp4"), b"a,b.mp4\nc,d.mp4\n", SOURCE)
    assert [video.video_id for video in draft.videos] == ["a,b.mp4", "c,d.mp4"]
