"""HMDB51's lists: what they say is kept to the letter, wherever they lie and whatever the clips are called."""

import pytest

from actionrec.catalog.hmdb51 import group_of, lists_among, read_hmdb51
from actionrec.catalog.source import SourceFile
from actionrec.catalog.table import build
from actionrec.config import Data, load
from actionrec.errors import InputError
from actionrec.storage.root import settings

LISTS = {
    "climb_test_split1.txt": b"(HQ)_Rock_Climbing_-_Free!_climb_f_cm_np1_ba_goo_5.avi 1 \r\n"
    b"#4 a;b & c_climb_f_cm_np1_le_bad_0.avi 2 \r\n",
    "climb_stairs_test_split1.txt": b"BIG_FISH_climb_stairs_f_nm_np1_fr_med_1.avi 1\n"
    b"Noise_climb_stairs_u_nm_np2_ri_goo_10.avi 0\n\n",
    "climb_test_split2.txt": b"#4 a;b & c_climb_f_cm_np1_le_bad_0.avi 1\n",
}
SIDES = {
    "(HQ)_Rock_Climbing_-_Free!_climb_f_cm_np1_ba_goo_5": ("climb", "(HQ)_Rock_Climbing_-_Free!", "train"),
    "#4 a;b & c_climb_f_cm_np1_le_bad_0": ("climb", "#4 a;b & c", "test"),
    "BIG_FISH_climb_stairs_f_nm_np1_fr_med_1": ("climb_stairs", "BIG_FISH", "train"),
    "Noise_climb_stairs_u_nm_np2_ri_goo_10": ("climb_stairs", "Noise", None),
}
VIDEOS = [f"{label}/{name}.avi" for name, (label, _, _) in SIDES.items()]


def read(videos=VIDEOS, lists=LISTS, folder="testTrainMulti_7030_splits/", split=1):
    listing = [SourceFile(name, 7) for name in (*videos, *(folder + name for name in lists))]
    return read_hmdb51(listing, lambda path: lists[path.removeprefix("src/" + folder)], "src", split)


def sides(draft):
    return {v.video_id.rpartition("/")[2].rpartition(".")[0]: (v.label, v.group, v.split) for v in draft.videos}


@pytest.mark.parametrize("folder", ["testTrainMulti_7030_splits/", "", "a/b/"])
@pytest.mark.parametrize(
    "place",
    [
        lambda name: name,
        lambda name: "hmdb51_org/" + name,
        lambda name: name.rpartition("/")[2],
        lambda name: name.replace(".avi", ".mp4"),
    ],
    ids=["class folders", "deeper", "flat", "re-encoded"],
)
def test_labels_groups_and_splits_come_from_the_lists_wherever_things_lie(place, folder):
    draft = read([place(name) for name in VIDEOS], folder=folder)
    assert sides(draft) == SIDES
    assert draft.classes == ["climb", "climb_stairs"]
    assert draft.warnings == []


def test_its_lists_are_known_by_their_names_wherever_they_lie():
    assert lists_among(["x/climb_test_split2.txt", "climb/a.avi"]) == "x/climb_test_split2.txt"
    assert lists_among(["climb/a.avi", "climb/test_split.txt", ".x/climb_test_split1.txt", "notes.txt"]) is None


def test_another_split_reads_its_own_lists():
    draft = read(split=2)
    assert sides(draft)["#4 a;b & c_climb_f_cm_np1_le_bad_0"] == ("climb", "#4 a;b & c", "train")
    assert "3 videos of src are in no list of split 2" in draft.warnings[0]
    assert [video.split for video in draft.videos if video.label is None] == [None] * 3


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("hit/A_kick_kick_ball_f_cm_np1_ri_med_4.avi", "A_kick"),  # kick_ball, not kick
        ("AKC_situp_moves_situp_f_cm_np1_le_goo_2.mp4", "AKC_situp_moves"),
        ("x/The_Matrix_5_kick_u_nm_np1_fr_bad_14.avi", "The_Matrix_5"),
        ("Twice_kick_u_nm_np1_fr_bad_1_kick_u_nm_np1_fr_bad_2.avi", "Twice_kick_u_nm_np1_fr_bad_1"),
        ("kick_u_nm_np1_fr_bad_14.avi", None),
        ("x_kick_u_nm_np1_fr_bad.avi", None),
        ("x_sing_u_nm_np1_fr_bad_1.avi", None),
    ],
)
def test_a_group_is_all_of_the_name_before_the_class(name, group):
    assert group_of(name, ["kick", "kick_ball", "situp"]) == group


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"climb_test_split1.txt": b"x_climb_f_cm_np1_ba_goo_5.avi 3\n"}, r"climb_test_split1\.txt, line 1: .* 0, 1"),
        ({"climb_test_split1.txt": b"\nx.avi\n"}, r"climb_test_split1\.txt, line 2"),
        ({"climb_test_split1.txt": b"x.avi 1\nx.avi 2\n"}, r"line 2: 'x\.avi' is listed already in .*line 1"),
        ({"climb_test_split1.txt": b"\xff 1\n"}, r"climb_test_split1\.txt, line 1: not UTF-8"),
        ({"old/climb_test_split1.txt": b""}, "are both the list of climb; remove one"),
    ],
)
def test_lists_that_contradict_themselves_are_refused_by_line(change, message):
    with pytest.raises(InputError, match=message):
        read(lists=LISTS | change)


def test_absent_lists_videos_of_another_set_and_doubles_are_refused():
    with pytest.raises(InputError, match=r"put CLASS_test_split3\.txt .* into src/testTrainMulti_7030_splits/"):
        read(split=3)
    with pytest.raises(InputError, match="none of the 1 videos of src"):
        read(["climb/clip.avi"])
    with pytest.raises(InputError, match="are both the listed video"):
        read([*VIDEOS, "copy/" + VIDEOS[0].rpartition("/")[2]])


def test_what_macos_leaves_beside_the_lists_is_no_list():
    assert sides(read(lists=LISTS | {"._climb_test_split1.txt": b"\0\xff"})) == SIDES


def film(name, label, side, number):
    return f"{name}_{label}_f_cm_np1_fr_med_{number}.avi", label, side


def test_validation_is_cut_by_films_and_the_official_lists_may_tear_one():
    clips = [film(f"Film{n}", label, 1, n) for n in range(10) for label in ("walk", "drink")]
    clips += [film("Torn", "walk", 1, 0), film("Torn", "drink", 2, 1), film("Far", "walk", 2, 2)]
    lists = {
        f"src/{label}_test_split1.txt": "".join(
            f"{name} {side}\n" for name, own, side in clips if own == label
        ).encode()
        for label in ("walk", "drink")
    }
    listing = [SourceFile(name, 1) for name in (*(path.removeprefix("src/") for path in lists), *(c[0] for c in clips))]
    found = build(listing, lists.__getitem__, "src", Data("src", "hmdb51"), 0)
    rows = found.table.to_pylist()
    learnt, held = ({row["group"] for row in rows if row["split"] == side} for side in ("train", "val"))
    assert held and not learnt & held
    assert {row["group"] for row in rows if row["split"] == "test"} == {"Torn", "Far"}
    assert any("'Torn' is in" in text and "accepted, for the official lists are so" in text for text in found.warnings)


def test_the_split_belongs_to_the_catalogs_settings_where_there_are_official_ones():
    kept = {
        name: "data.split" in settings("catalog", load([{"data": {"dataset": name}}])) for name in ("csv", "hmdb51")
    }
    assert kept == {"csv": False, "hmdb51": True}
