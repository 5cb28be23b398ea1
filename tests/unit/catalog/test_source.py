"""Names: normalised, never merged, and nothing that is left out goes unmentioned."""

import pytest

from actionrec.catalog.source import by_id, decoded, left_out, stem, videos_of
from actionrec.errors import InputError


def test_ids_are_nfc_and_the_file_keeps_its_own_spelling(listing):
    found = by_id(listing("cafe\u0301/a.mp4"))
    assert list(found) == ["caf\u00e9/a.mp4"]
    assert found["caf\u00e9/a.mp4"].relative_path == "cafe\u0301/a.mp4"


def test_two_spellings_of_one_name_are_refused_naming_both(listing):
    with pytest.raises(InputError, match=r"(?s)'cafe\u0301\.mp4' and 'caf\u00e9\.mp4'.*rename"):
        by_id(listing("cafe\u0301.mp4", "caf\u00e9.mp4"))


def test_videos_are_told_by_extension_in_any_case_and_hidden_files_are_in_neither_list(listing):
    names = ("A/x.MP4", "A/y.ogv", "A/notes.txt", ".DS_Store", "A/._x.MP4", ".git/z.mp4", "__MACOSX/A/x.mp4", "LICENSE")
    videos, others = videos_of(listing(*names), "src")
    assert sorted(videos) == ["A/x.MP4", "A/y.ogv"]
    assert others == ["A/notes.txt", "LICENSE"]


def test_a_source_without_videos_is_refused_with_what_it_holds(listing):
    with pytest.raises(InputError, match=r"s3://b/x holds no videos \(1 other files\)"):
        videos_of(listing("readme.txt", ".hidden.mp4"), "s3://b/x")


def test_the_warning_about_other_files_counts_them_and_names_one():
    assert left_out([], "src") == []
    assert "2 files of src" in left_out(["a.txt", "b.txt"], "src")[0]
    assert "'a.txt'" in left_out(["a.txt", "b.txt"], "src")[0]


@pytest.mark.parametrize(("path", "name"), [("a.b/v_X_g01_c02.avi", "v_X_g01_c02"), ("x", "x"), ("d/.mp4", ".mp4")])
def test_stem(path, name):
    assert stem(path) == name


def test_text_with_a_byte_order_mark_is_read_and_other_encodings_name_their_line():
    assert decoded(b"\xef\xbb\xbfpath", "x.csv") == "path"
    with pytest.raises(InputError, match=r"x\.csv, line 2: not UTF-8"):
        decoded(b"path\ncaf\xe9.mp4\n", "x.csv")
