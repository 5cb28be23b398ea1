"""Segments of a file end to end: each is a video of its own, cut by seeking wherever its file is opened."""

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from actionrec.errors import VideoError
from actionrec.extraction.extract import source_videos
from actionrec.extraction.part import ExtractionJob, PartWorker, Watcher
from actionrec.media.encode import encode
from actionrec.report.stills import frames_of
from actionrec.storage.root import open_root
from actionrec.storage.samples import Sample
from actionrec.storage.sources import source_folder
from actionrec.training.finetune import FrameLoader
from tests.media_files import moving, tone
from tests.tiny_roots import (
    STREAMS,
    actionrec,
    assert_accounted,
    assert_equal_values,
    clip,
    features,
    link_weights,
    new_root,
    outcomes,
    snapshot,
    status,
    values,
    weights,
)

LONG = "a, b=c/long #1.mp4"  # what stands in an id beside the fragment harms nothing
WHOLE, EARLY, LATE, REST, BEYOND = LONG, f"{LONG}#t=0.4,1.4", f"{LONG}#t=2,3.2", f"{LONG}#t=3", f"{LONG}#t=60,70"
OTHER = "other.avi"
ROWS = f"""path,label,start_s,end_s
"{LONG}",whole,,
"{LONG}",early,0.40,1.4
"{LONG}",late,2,3.2
"{LONG}",late,3,
"{LONG}",late,60,70
{OTHER},other,,
"""
RATE = 25
OK = dict.fromkeys(STREAMS, "ok")


class Cut(NamedTuple):
    source: Path
    root: Path


@pytest.fixture(scope="module")
def cut(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    folder = tmp_path_factory.mktemp("segments")
    path = folder / "videos" / LONG
    path.parent.mkdir(parents=True)
    data = encode("mp4", moving(100, 120, 160), Fraction(RATE), audio=tone(4.0), video_options={"g": "10"})
    path.write_bytes(data)
    (folder / "videos" / OTHER).write_bytes(clip(0))
    (folder / "videos/clips.csv").write_text(ROWS)
    root = new_root(folder / "root", folder / "videos/clips.csv")
    assert actionrec("extract", "--root", root, "--set", "extract.max_failed=0.5") == 0
    return Cut(folder / "videos", root)


def rows_of(root: Path, stream: str) -> pd.DataFrame:
    return features(root, stream).set_index("video_id")


def test_each_segment_stands_once_and_one_beyond_the_end_fails_alone(cut: Cut) -> None:
    found = outcomes(cut.root)
    assert set(found) == {WHOLE, EARLY, LATE, REST, BEYOND, OTHER}
    assert all(found[video_id] == OK for video_id in found if video_id != BEYOND)
    assert len(set(found[BEYOND].values())) == 1 and set(found[BEYOND].values()).isdisjoint({"ok", "no_audio"})
    assert_accounted(cut.root, list(found))
    hashes = status(cut.root).set_index("video_id")["sha256"]
    sha256 = hashlib.sha256((cut.source / LONG).read_bytes()).hexdigest()
    assert all(set(hashes[video_id]) == {sha256} for video_id in (WHOLE, EARLY, LATE, REST))


def test_its_values_are_those_of_its_span_and_its_times_start_at_0(cut: Cut) -> None:
    flow, sound = rows_of(cut.root, "flow"), rows_of(cut.root, "audio")
    whole_s, whole_px = (np.array(flow.loc[WHOLE, name]) for name in ("time_s", "motion_px"))
    for video_id, start_s, end_s in ((EARLY, 0.4, 1.4), (LATE, 2.0, 3.2), (REST, 3.0, 4.0)):
        inside = (whole_s > start_s + 0.5 / RATE) & (whole_s < end_s - 0.5 / RATE)
        assert flow.loc[video_id, "time_s"] == pytest.approx(whole_s[inside] - start_s, abs=1e-4)
        assert flow.loc[video_id, "motion_px"] == pytest.approx(whole_px[inside])
        for stream in STREAMS:
            times_s = rows_of(cut.root, stream).loc[video_id, "time_s"]
            assert 0 <= times_s[0] <= 1 / RATE and times_s[-1] < end_s - start_s
        assert (len(sound.loc[video_id, "time_s"]), len(sound.loc[WHOLE, "time_s"])) == (1, 4)  # examples of 0.96 s
    found = values(cut.root)
    for stream in ("spatial", "flow"):
        assert len({found[stream][video_id] for video_id in (WHOLE, EARLY, LATE, REST)}) == 4


def test_a_rerun_computes_nothing_and_other_parts_give_the_same(
    cut: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(cut.root)
    with monkeypatch.context() as patched:
        patched.setattr("actionrec.extraction.extract.session", None)
        assert actionrec("catalog", "--root", cut.root) == 0
        assert actionrec("extract", "--root", cut.root, "--set", "extract.max_failed=0.5") == 0
    assert snapshot(cut.root) == before
    root = new_root(tmp_path / "root", cut.source / "clips.csv", "--set", "extract.part_videos=4")
    assert actionrec("extract", "--root", root, "--set", "extract.max_failed=0.5") == 0
    assert_equal_values(root, values(cut.root), [WHOLE, EARLY, LATE, REST, OTHER])


def test_the_file_of_many_segments_is_fetched_once(cut: Cut, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = open_root(str(cut.root))
    videos = source_videos(root.catalog(), root.config)
    made = dict.fromkeys(STREAMS, "fingerprint")
    job = ExtractionJob(root.config, str(tmp_path), source_folder(root.config.data), weights()[1], made, STREAMS)
    link_weights(tmp_path)
    worker, read = PartWorker(job, "cpu"), []
    fetch = worker._source.read
    monkeypatch.setattr(worker._source, "read", lambda key: read.append(key) or fetch(key))  # type: ignore[func-returns-value]
    worker.run(0, [vars(videos[video_id]) for video_id in (EARLY, LATE, REST, BEYOND)], Watcher())
    worker.close()
    assert read == [LONG]


def test_the_report_and_fine_tuning_see_the_segment_not_the_file(cut: Cut) -> None:
    root = open_root(str(cut.root))
    shown = frames_of(root, {WHOLE: [50, 62], LATE: [0, 12]})
    whole, late = shown[WHOLE], shown[LATE]
    assert not isinstance(whole, str) and not isinstance(late, str)
    assert np.abs(whole.astype(int) - late).max() <= 1
    assert "no frame can be shown" in str(frames_of(root, {BEYOND: None})[BEYOND])

    videos = source_videos(root.catalog(), root.config)
    loader = FrameLoader(root.config, source_folder(root.config.data), videos, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 0)
    whole_K, early_K, late_K, beyond = loader.load(
        [Sample(video_id, 0, "val", 0) for video_id in (WHOLE, EARLY, LATE, BEYOND)], 0, training=False
    )
    assert isinstance(beyond, VideoError)
    assert not isinstance(whole_K, VideoError) and not isinstance(early_K, VideoError)
    assert not np.array_equal(whole_K, early_K) and not np.array_equal(early_K, late_K)
