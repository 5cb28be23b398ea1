"""UCF101's lists: what they say is kept to the letter, and what they do not say is pointed out."""

from collections import Counter

import pytest

from actionrec.catalog.source import SourceFile
from actionrec.catalog.ucf101 import group_of, lists_among, read_ucf101
from actionrec.errors import InputError

LISTS = {
    "classInd.txt": b"1 Jump\r\n2 HandstandPushups\r\n",
    "trainlist01.txt": b"Jump/v_Jump_g02_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g02_c01.avi 2\r\n\r\n",
    "testlist01.txt": b"Jump/v_Jump_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
}
VIDEOS = (
    "Jump/v_Jump_g01_c01.avi",
    "Jump/v_Jump_g02_c01.avi",
    "HandstandPushups/v_HandStandPushups_g01_c01.avi",
    "HandstandPushups/v_HandStandPushups_g02_c01.avi",
)
SIDES = {
    "v_Jump_g01_c01": ("Jump", "Jump_g01", "test"),
    "v_Jump_g02_c01": ("Jump", "Jump_g02", "train"),
    "v_HandStandPushups_g01_c01": ("HandstandPushups", "HandStandPushups_g01", "test"),
    "v_HandStandPushups_g02_c01": ("HandstandPushups", "HandStandPushups_g02", "train"),
}


def read(videos, lists=LISTS, folder="ucfTrainTestlist/", split=1):
    listing = [SourceFile(name, 7) for name in (*videos, *(folder + name for name in lists))]
    return read_ucf101(listing, lambda path: lists[path.removeprefix("src/" + folder)], "src", split)


def sides(draft):
    return {v.video_id.rpartition("/")[2].rpartition(".")[0]: (v.label, v.group, v.split) for v in draft.videos}


@pytest.mark.parametrize("folder", ["ucfTrainTestlist/", "", "splits/"])
@pytest.mark.parametrize(
    "place",
    [
        lambda name: name,
        lambda name: "UCF-101/" + name,
        lambda name: name.rpartition("/")[2],
        lambda name: name.replace(".avi", ".mp4"),
        lambda name: "HandstandPushups/" + name.rpartition("/")[2],
    ],
    ids=["class folders", "deeper", "flat", "re-encoded", "wrong folder"],
)
def test_labels_groups_and_splits_come_from_the_lists_wherever_the_videos_lie(place, folder):
    draft = read([place(name) for name in VIDEOS], folder=folder)
    assert sides(draft) == SIDES
    assert draft.classes == ["Jump", "HandstandPushups"]
    assert draft.warnings == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("ucfTrainTestlist/classInd.txt", "ucfTrainTestlist/testlist03.txt"), "ucfTrainTestlist/classInd.txt"),
        (("classInd.txt", "trainlist01.txt"), "classInd.txt"),
        (("a/b/trainlist02.txt", "a/b/classInd.txt"), "a/b/classInd.txt"),
        (("a/classInd.txt", "b/trainlist01.txt"), None),
        (("classInd.txt", "trainlist04.txt"), None),
        ((".lists/classInd.txt", ".lists/trainlist01.txt"), None),
        ((), None),
    ],
)
def test_its_lists_are_known_by_their_names_wherever_they_lie(names, found):
    assert lists_among(["Jump/a.avi", *names]) == found


def test_the_other_spelling_of_a_stem_is_found():
    videos = [name.replace("HandStandPushups", "HandstandPushups") for name in VIDEOS]
    assert sides(read(videos))["v_HandstandPushups_g02_c01"] == ("HandstandPushups", "HandstandPushups_g02", "train")


def test_a_partial_download_is_a_smaller_data_set_with_one_warning():
    draft = read(VIDEOS[:1])
    assert len(draft.videos) == 1
    assert draft.warnings == ["1 of the 4 videos listed for split 1 are in src"]


def test_a_video_in_neither_list_keeps_its_row_without_label_and_split():
    draft = read([*VIDEOS, "Jump/v_Jump_g09_c01.avi"])
    assert sides(draft) == SIDES | {"v_Jump_g09_c01": (None, "Jump_g09", None)}
    assert "1 videos of src are in neither trainlist01.txt nor testlist01.txt" in draft.warnings[0]
    assert "'Jump/v_Jump_g09_c01.avi'" in draft.warnings[0]


def test_files_that_are_neither_videos_nor_lists_are_counted():
    assert "'README'" in read([*VIDEOS, "README"]).warnings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classInd.txt": b"0 Jump\n"}, "classInd.txt, line 1"),
        ({"classInd.txt": b"1 Jump\n2 Jump\n"}, "classInd.txt, line 2"),
        ({"trainlist01.txt": b"Jump/v_Jump_g02_c01.avi 2\n"}, "trainlist01.txt, line 1"),
        ({"testlist01.txt": b"\nHop/v_Hop_g01_c01.avi\n"}, "testlist01.txt, line 2"),
        ({"testlist01.txt": b"Jump/v_Jump_g02_c01.avi\n"}, "listed already in trainlist01.txt, line 1"),
        ({"testlist01.txt": b"\xff\n"}, "testlist01.txt, line 1: not UTF-8"),
    ],
)
def test_lists_that_contradict_themselves_are_refused_by_line(change, message):
    with pytest.raises(InputError, match=message):
        read(VIDEOS, LISTS | change)


def test_absent_lists_are_named_with_the_place_for_them():
    with pytest.raises(InputError, match=r"put classInd\.txt, .* into src/ucfTrainTestlist/"):
        read(VIDEOS, {})
    with pytest.raises(InputError, match=r"src/ucfTrainTestlist/trainlist02\.txt is not there; split 2 needs it"):
        read(VIDEOS, split=2)


def test_two_files_of_one_listed_video_are_refused():
    with pytest.raises(InputError, match=r"'Jump/v_Jump_g01_c01\.avi' and 'old/v_Jump_g01_c01\.mp4' are both"):
        read([*VIDEOS, "old/v_Jump_g01_c01.mp4"])


def test_videos_of_another_data_set_are_refused():
    with pytest.raises(InputError, match="none of the 1 videos of src is named"):
        read(["Jump/clip.avi"])


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Jump/v_Jump_g01_c02.avi", "Jump_g01"),
        ("v_Long_Name_g25_c07.mp4", "Long_Name_g25"),
        ("v_Jump_g01.avi", None),
        ("xv_Jump_g01_c01.avi", None),
    ],
)
def test_group_of(name, group):
    assert group_of(name) == group


@pytest.mark.parametrize(("split", "n_train", "n_test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_the_official_lists_give_the_published_counts_and_whole_groups(shared_data, split, n_train, n_test):
    folder = shared_data / "ucf101" / "splits"
    lists = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
    both = lists[f"trainlist{split:02d}.txt"] + lists[f"testlist{split:02d}.txt"]
    names = [line.split()[0] for line in both.decode().splitlines()]
    draft = read(names, lists, split=split)
    assert Counter(video.split for video in draft.videos) == {"train": n_train, "test": n_test}
    assert len({video.label for video in draft.videos}) == len(draft.classes or ()) == 101
    assert len({(video.group, video.split) for video in draft.videos}) == len({v.group for v in draft.videos}) == 2525
    assert draft.warnings == []
