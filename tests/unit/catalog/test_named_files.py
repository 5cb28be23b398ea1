"""What a row names: files as they are called, Windows' paths, Kinetics' clips; and nothing that is not listed."""

import pytest

from actionrec.catalog.csv_file import read_csv
from actionrec.errors import InputError

SOURCE = "data/clips.csv"
KINETICS = "label,youtube_id,time_start,time_end,split\n"


def videos(listing, text):
    return read_csv(listing, text.encode(), SOURCE)


def ids(draft):
    return [video.video_id for video in draft.videos]


@pytest.mark.parametrize(
    "name", ["Ep1: fall.mp4", "concat:a|b", "http:/x.mp4", "C:x.mp4", "subfile,,start,0,,:x", "take #2.mp4", "a\\b.mp4"]
)
def test_a_listed_name_is_a_file_whatever_it_looks_like(listing, name):
    draft = videos(listing(name), f'path,label\n"{name}",a\n')
    assert [video[:2] for video in draft.videos] == [(name, f"data/{name}")]
    assert draft.videos[0].bytes == 7


@pytest.mark.parametrize("name", ["Ep1: fall.mp4", "concat:a|b", "http:/x.mp4", "C:x.mp4", "\\x.mp4"])
def test_the_same_name_is_refused_where_it_is_not_listed(listing, name):
    with pytest.raises(InputError, match=r"data/clips.csv, line 2: the path .* leads out"):
        videos(listing("y.mp4"), f'path,label\n"{name}",a\n')


@pytest.mark.parametrize("name", ["../up.mp4", "/x.mp4", "a/../b.mp4", "..\\up.mp4"])
def test_what_leads_out_is_refused_even_if_a_bucket_lists_such_a_key(listing, name):
    with pytest.raises(InputError, match=r"line 2: the path .* leads out"):
        videos(listing(name), f"path\n{name}\n")


def test_a_backslash_separates_folders_unless_a_file_is_called_so(listing):
    found = videos(listing("fight/fi005.mp4", "a\\b.mp4", "a/b.mp4"), "path\nfight\\fi005.mp4\na\\b.mp4\nno\\x.mp4\n")
    assert [(video.video_id, video.bytes) for video in found.videos] == [
        ("fight/fi005.mp4", 7),
        ("a\\b.mp4", 7),
        ("no/x.mp4", None),
    ]


def test_one_file_by_two_spellings_is_a_duplicate(listing):
    with pytest.raises(InputError, match=r"lines 2 and 3: both name 'a/b\.mp4'"):
        videos(listing("a/b.mp4"), "path\na/b.mp4\na\\b.mp4\n")


def test_kinetics_clips_are_found_in_any_folder_whole_videos_are_cut_and_the_rest_is_missing(listing):
    files = listing("air_drumming/-x_1_000012_000022.mp4", "yoga/_y-2.mkv", "yoga/readme_000001_000002.txt")
    text = KINETICS + "air drumming,-x_1,12,22,train\nyoga,_y-2,3,13,validate\nyoga,zzz,0,10,test\n"
    draft = videos(files, text)
    assert [(v.video_id, v.group, v.split, v.bytes, v.start_s, v.end_s) for v in draft.videos] == [
        ("air_drumming/-x_1_000012_000022.mp4", "-x_1", "train", 7, None, None),
        ("yoga/_y-2.mkv#t=3,13", "_y-2", "val", 7, 3.0, 13.0),
        ("zzz_000000_000010.mp4", "zzz", "test", None, None, None),
    ]
    counts, missing = draft.warnings
    assert (
        "of 3 videos 1 are clips called YOUTUBEID_START_END, 1 are not there, 1 are videos called YOUTUBEID" in counts
    )
    assert "1 of the 3 files" in missing and "'zzz_000000_000010.mp4', line 4" in missing


def test_of_several_files_of_one_clip_the_folders_of_label_and_split_decide(listing):
    names = [f"{folder}/x_000001_000011.mp4" for folder in ("train/yoga", "val/yoga", "val/air_drumming")]
    assert ids(videos(listing(*names), KINETICS + "yoga,x,1,11,validate\n")) == ["val/yoga/x_000001_000011.mp4"]
    with pytest.raises(InputError, match=r"line 2: .* are both the video 'x_000001_000011'"):
        videos(listing(*names), KINETICS + "bowling,x,1,11,test\n")


def test_a_youtube_id_leads_nowhere_else(listing):
    for bad in ("../../etc/passwd", "/etc/passwd", "http://x", "", "concat:a|b"):
        with pytest.raises(InputError, match="line 2: the "):
            videos(listing("y.mp4"), KINETICS + f"a,{bad},1,11,test\n")
