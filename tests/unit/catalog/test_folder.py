"""A folder of class folders."""

import pytest

from actionrec.catalog.folder import read_folder


def rows(draft):
    return {video.video_id: video for video in draft.videos}


def test_the_first_folder_is_the_label_and_the_path_is_what_storage_lists(listing):
    found = rows(read_folder(listing("jump/a.mp4", "run/deep/b.avi", "caf\u0065\u0301/c.mkv"), "s3://bucket/prefix/"))
    assert {name: video.label for name, video in found.items()} == {
        "jump/a.mp4": "jump",
        "run/deep/b.avi": "run",
        "caf\u00e9/c.mkv": "caf\u00e9",
    }
    assert found["caf\u00e9/c.mkv"].path == "s3://bucket/prefix/caf\u0065\u0301/c.mkv"
    assert found["jump/a.mp4"].bytes == 7


def test_a_video_at_the_top_has_no_label(listing):
    assert rows(read_folder(listing("a.mp4", "jump/b.mp4"), "src"))["a.mp4"].label is None


def test_groups_are_known_only_from_ucf101_names(listing):
    names = ("A/v_Punch_g03_c01.avi", "A/v_Punch_g03_c02.mp4", "A/v_Punch_g3.avi", "A/other.avi")
    found = rows(read_folder(listing(*names), "src"))
    assert [found[name].group for name in names] == ["Punch_g03", "Punch_g03", None, None]


@pytest.mark.parametrize(("names", "n_warnings"), [(("train/a.mp4", "Test/b.mp4"), 1), (("train/a.mp4", "x/b.mp4"), 0)])
def test_folders_called_like_splits_are_pointed_out(listing, names, n_warnings):
    warnings = read_folder(listing(*names), "src").warnings
    assert len(warnings) == n_warnings
    assert all("if they are splits" in warning for warning in warnings)
