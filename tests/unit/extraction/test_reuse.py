"""What another root has of the same videos is taken over, whole parts or single videos, and nothing else is."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from actionrec import schema
from actionrec.config import Storage
from actionrec.errors import ActionrecError, InputError
from actionrec.extraction import reuse
from actionrec.extraction.part import VideoFile
from actionrec.extraction.reuse import Taken, another, take
from actionrec.storage import layout, parts, reopening, replacing
from actionrec.storage.records import dumped
from actionrec.storage.reopening import Kept
from actionrec.storage.root import Root, begin, open_root, record
from actionrec.storage.store import open_store
from actionrec.storage.streams import STREAMS
from tests.earlier_roots import unpack
from tests.interposing import Cut, Once, before_each_change
from tests.tiny_features import PART_VIDEOS, SETTINGS, WIDTHS, begin_streams, clips, make_root, write_stream

DECODED = ("flow", "spatial", "audio")
CLIPS = clips()[:12]  # two parts of five, and one of two
IDS = [clip.video_id for clip in CLIPS]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A byte a video: nothing is decoded here."""
    folder = tmp_path / "videos"
    for number, video_id in enumerate(IDS):
        path = folder / video_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]))
    return folder


@pytest.fixture
def other(tmp_path: Path, source: Path) -> Root:
    return extracted(tmp_path / "other", source)


@pytest.fixture
def mine(tmp_path: Path, source: Path) -> Root:
    return begun(tmp_path / "mine", source)


def extracted(folder: Path, source: Path, **settings: Any) -> Root:
    """A root that is planned, extracted, and knows what it has read."""
    root = make_root(folder, CLIPS, {"data": {"source": str(source)}, **settings})
    parts.plan(root.store, IDS, PART_VIDEOS, "x", {})
    for path in (folder / "features/status").iterdir():
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["sha256"] = hashlib.sha256((source / row["video_id"]).read_bytes()).hexdigest()
        rewrite(path, rows, schema.STATUS)
    return root


def rewrite(path: Path, rows: list[dict[str, Any]], columns: Any) -> None:
    table = type(pq.read_table(path)).from_pylist(rows, schema=columns)
    path.write_bytes(schema.to_parquet(table, schema.fingerprint_of(path.read_bytes()) or ""))


def begun(folder: Path, source: Path, **settings: Any) -> Root:
    """A root whose streams have begun, under other names than the other root's, and of which nothing is computed."""
    root = open_root(str(folder), [SETTINGS, {"data": {"source": str(source)}, **settings}])
    begin_streams(root)
    rename(folder, "mine")
    return open_root(str(folder))


def rename(folder: Path, name: str) -> None:
    root = open_root(str(folder))
    for stream in DECODED:
        found = record(root, stream)
        inputs = {key: name if key in DECODED else value for key, value in found["inputs"].items()}
        root.store.put(layout.stage(stream), dumped(found | {"fingerprint": name, "inputs": inputs}))


def taken(mine: Root, other: Root, size: int = PART_VIDEOS, ids: Sequence[str] = IDS, **more: Any) -> Taken:
    """Into parts of `size` videos."""
    plan = {part: list(ids[start : start + size]) for part, start in enumerate(range(0, len(ids), size))}
    videos = {i: VideoFile(i, i, 1) for i in ids}
    lacking = {part: [s for s in DECODED if part not in parts.committed(mine.store, s)] for part in plan}
    return take(mine, another(mine, other.store.url), lacking, plan, videos, **more)


def growing(other: Root, without: Sequence[str]) -> Root:
    """A copy of a root that has not made these videos yet."""
    folder = Path(shutil.copytree(other.store.url, f"{other.store.url}-growing"))
    for path in (folder / layout.STATUS).iterdir():
        rewrite(path, [row for row in pq.read_table(path).to_pylist() if row["video_id"] not in without], schema.STATUS)
    return open_root(str(folder))


def features(root: Root, stream: str) -> dict[str, Any]:
    found = {}
    for key in root.store.sizes(layout.features(stream)):
        for row in pq.read_table(Path(root.store.url, key)).to_pylist():
            assert row["video_id"] not in found
            found[row["video_id"]] = row
    return found


def files(root: Root) -> dict[str, bytes]:
    return {key: root.store.read(key) for key in root.store.sizes()}


@pytest.mark.parametrize("size", [PART_VIDEOS, 4, 12])
def test_equal_streams_are_taken_and_committed_however_the_parts_are_cut(size: int, mine: Root, other: Root) -> None:
    before = files(other)
    said = taken(mine, other, size)
    assert said.said.startswith("flow of 12 videos taken from ")
    assert said.warnings == []
    for stream in DECODED:
        assert len(parts.committed(mine.store, stream)) == -(-12 // size)
        assert features(mine, stream) == features(other, stream)
        table = parts.statuses(mine.store, stream, "mine")
        assert sorted(table["video_id"].to_pylist()) == sorted(IDS)
    found = parts.reconcile(mine.store, IDS, dict.fromkeys(DECODED, "mine"))
    assert (found.ok, found.no_audio, found.missing) == (12, 4, ())
    assert files(other) == before


def test_how_far_it_is_is_told_part_by_part(mine: Root, other: Root) -> None:
    told: list[tuple[int, int]] = []
    taken(mine, other, on_videos=lambda done, videos: told.append((done, videos)))
    assert told == [(5, 12), (10, 12), (12, 12)]


def test_a_root_in_a_bucket_takes_from_another_what_one_in_a_folder_takes(
    mine: Root, other: Root, s3_bucket: tuple[str, str]
) -> None:
    def in_bucket(root: Root, name: str) -> Root:
        url, storage = f"s3://{s3_bucket[1]}/reuse/{name}", {"endpoint_url": s3_bucket[0]}
        store = open_store(url, Storage(**storage))
        for key, data in files(root).items():
            store.put(key, data)
        return open_root(url, [{"storage": storage}])

    my_bucket, other_bucket = in_bucket(mine, "mine"), in_bucket(other, "other")
    before = files(other_bucket)
    said = taken(my_bucket, other_bucket).said
    assert said == taken(mine, other).said.replace(other.store.url, other_bucket.store.url)
    assert files(my_bucket) == files(mine)
    assert files(other_bucket) == before
    with pytest.raises(InputError, match="the root itself"):
        another(other_bucket, f"{other_bucket.store.url}/")


def test_files_of_the_same_name_and_part_are_copied_as_they_are(tmp_path: Path, source: Path, other: Root) -> None:
    mine = open_root(str(tmp_path / "mine"), [SETTINGS, {"data": {"source": str(source)}}])
    begin_streams(mine)
    taken(mine, other)
    keys = [key for stream in DECODED for key in other.store.sizes(layout.features(stream))]
    assert {key: mine.store.read(key) for key in keys} == {key: other.store.read(key) for key in keys}


def test_a_stream_that_differs_is_named_with_what_differs_and_left(tmp_path: Path, source: Path, other: Root) -> None:
    frame = SETTINGS["frame"] | {"size": 32}
    mine = begun(tmp_path / "mine", source, frame=frame)
    assert "spatial differs (frame.size) and is not taken" in taken(mine, other).said
    assert parts.committed(mine.store, "spatial") == {}
    assert len(parts.committed(mine.store, "audio")) == 3


def test_a_stream_follows_what_it_is_made_from(tmp_path: Path, source: Path, other: Root) -> None:
    mine = begun(tmp_path / "mine", source, flow=SETTINGS["flow"] | {"jpeg_quality": 50})
    said = taken(mine, other).said
    assert "flow differs (flow.jpeg_quality)" in said
    assert "spatial differs (flow: flow.jpeg_quality)" in said


def test_videos_that_are_others_by_their_bytes_are_not_taken_and_the_rest_is_kept(
    mine: Root, other: Root, source: Path
) -> None:
    (source / IDS[1]).write_bytes(b"x")
    taken(mine, other)
    for stream in DECODED:
        assert sorted(parts.committed(mine.store, stream)) == [1, 2]
        width = WIDTHS.get(stream, 0)
        kept = Kept(mine.store, stream, 0, "mine", STREAMS[stream].schema(width))
        assert [kept.of(video_id) is not None for video_id in IDS[:5]] == [True, False, True, True, True]
        ok = [i for i in IDS[:5] if (row := kept.of(i)) is not None and row["status"] == "ok"]
        assert sorted(features(mine, stream)) == sorted(set(features(other, stream)) & set(IDS[5:]))
        assert [kept.row(i, STREAMS[stream].schema(width)) for i in ok] == [features(other, stream)[i] for i in ok]


def test_a_hash_that_is_recorded_here_spares_the_reading(mine: Root, other: Root, source: Path) -> None:
    taken(mine, other)
    for key in list(mine.store.sizes(layout.marks("audio").rpartition("/")[0] + "/")):
        if "audio" in key:
            mine.store.delete(key)
    for video_id in IDS:
        (source / video_id).unlink()
    assert "audio of 12 videos taken" in taken(mine, other).said


def test_failed_videos_are_not_taken(mine: Root, other: Root) -> None:
    for stream in DECODED:
        path = Path(other.store.url, layout.commit_mark(stream, 1))
        rows = pq.read_table(path).to_pylist()
        rows[0] |= {"status": "failed", "reason": "corrupt", "detail": "of then"}
        rewrite(path, rows, schema.STATUS)
    taken(mine, other)
    assert sorted(parts.committed(mine.store, "flow")) == [0, 2]
    assert IDS[5] not in features(mine, "flow")


def test_what_another_root_has_not_committed_is_not_there(mine: Root, other: Root) -> None:
    for stream in DECODED:
        other.store.delete(layout.commit_mark(stream, 2))
    assert taken(mine, other).warnings == []
    assert sorted(parts.committed(mine.store, "spatial")) == [0, 1]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "another", "no table"])
@pytest.mark.parametrize("key", [layout.feature("audio", 0), layout.commit_mark("audio", 0)])
def test_a_damaged_file_is_named_and_its_part_stays_lacking(damage: str, key: str, mine: Root, other: Root) -> None:
    data = other.store.read(key)
    table = pq.read_table(Path(other.store.url, key))
    changed = {
        "flipped": data[:40] + bytes(byte ^ 255 for byte in data[40:60]) + data[60:],
        "cut": data[: len(data) // 2],
        "empty": b"",
        "another": schema.to_parquet(table, "of another extraction"),
        "no table": schema.to_parquet(table.select(["video_id"]), "other"),
    }
    other.store.put(key, changed[damage])
    found = taken(mine, other)
    assert len(found.warnings) == 1
    assert key in found.warnings[0]
    assert sorted(parts.committed(mine.store, "audio")) == [1, 2]
    assert sorted(parts.committed(mine.store, "flow")) == [0, 1, 2]


@pytest.mark.parametrize("what", ["no number", "another width"])
def test_numbers_that_are_none_and_another_width_are_refused(
    what: str, mine: Root, other: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "COPIERS", 1)  # the first width that is seen counts
    path = Path(other.store.url, layout.feature("spatial", 2))
    width = WIDTHS["spatial"] + (what == "another width")
    vectors = np.full((3, width), np.nan if what == "no number" else 1, np.float32)
    row = {"frame_index": [0, 1, 2], "time_s": [0.0, 0.1, 0.2], "embedding": vectors}
    table = schema.feature_table(STREAMS["spatial"].schema(width), [(i, row) for i in IDS[10:]])
    name = {b"actionrec.fingerprint": str(record(other, "spatial")["fingerprint"]).encode()}
    pq.write_table(table.replace_schema_metadata(name), path)
    assert len(taken(mine, other, PART_VIDEOS).warnings) == 1
    assert len(parts.committed(mine.store, "spatial")) == 2


def test_other_videos_are_left_and_that_is_said(mine: Root, other: Root) -> None:
    found = taken(mine, other, ids=["c0/of_another_set.avi"])
    assert found.said.startswith(f"flow of none of 1 video taken from {other.store.url} (1 not in its parts); ")
    assert files(mine).keys() == {"config.yaml", *(layout.stage(stream) for stream in DECODED)}


def test_a_part_that_was_taken_in_part_is_completed_from_what_there_is_later(mine: Root, other: Root) -> None:
    half = growing(other, without=[IDS[0], IDS[3]])
    said = taken(mine, half).said
    assert said.startswith(f"flow of 10 of 12 videos taken from {half.store.url} (2 not made there); ")
    assert taken(mine, half).said.startswith(
        f"flow of none of 2 videos taken from {half.store.url} (2 not made there); "
    )
    assert taken(mine, other).said.startswith(f"flow of 2 videos taken from {other.store.url}; ")
    for stream in DECODED:
        assert features(mine, stream) == features(other, stream)
    assert not mine.store.sizes(layout.REOPENED)
    assert not mine.store.sizes(layout.TAKEN)


def test_a_root_that_is_none_of_another_layout_or_the_same_is_refused(mine: Root, other: Root, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no root here"):
        another(mine, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="actionrec upgrade"):
        another(mine, str(unpack("v0.1", tmp_path / "old")))
    (tmp_path / "link").symlink_to(other.store.url)
    for url in (other.store.url, f"{other.store.url}/", str(tmp_path / "link")):
        with pytest.raises(InputError, match="this is the root itself"):
            another(other, url)


def test_a_configuration_there_decides_nothing(mine: Root, other: Root) -> None:
    Path(other.store.url, layout.CONFIG).write_text("storage: {endpoint_url: https://of.somebody.else}\nno: [")
    assert "flow of 12 videos taken" in taken(mine, other).said


def test_begin_finds_no_difference_after_it(mine: Root, other: Root) -> None:
    taken(mine, other)
    assert begin(mine, "flow", record(mine, "flow")["inputs"]) == "mine"


AUDIO = {0: ("audio",)}
FIRST = IDS[:PART_VIDEOS]


def audio(mine: Root, other: Root) -> str:
    """Audio of the first part taken by a driver that has found it lacking, whatever has been committed since."""
    videos = {i: VideoFile(i, i, 1) for i in FIRST}
    return take(mine, another(mine, other.store.url), AUDIO, {0: FIRST}, videos).said


def commit_with_a_failure(mine: Root) -> None:
    """As a driver does that could not decode the second video."""
    write_stream(mine, "audio", "mine", [clip for clip in CLIPS[:PART_VIDEOS] if clip.video_id != IDS[1]])
    path = Path(mine.store.url, layout.commit_mark("audio", 0))
    failed = {"video_id": IDS[1], "stream": "audio", "status": "failed", "reason": "timeout"}
    rewrite(path, [*pq.read_table(path).to_pylist(), failed], schema.STATUS)


def is_vouched_for(mine: Root) -> bool:
    """Whether the part is committed, and has what its mark says."""
    key = layout.commit_mark("audio", 0)
    rows = pq.read_table(Path(mine.store.url, key)).to_pylist() if mine.store.exists(key) else []
    return bool(rows) and {row["video_id"] for row in rows if row["status"] == "ok"} <= features(mine, "audio").keys()


def test_what_another_driver_commits_between_listing_and_taking_stays_as_it_is(mine: Root, other: Root) -> None:
    half = growing(other, without=[IDS[0]])
    audio(mine, other)
    before = files(mine)
    assert audio(mine, half) == f"audio of none of 5 videos taken from {half.store.url} (5 committed here meanwhile)"
    assert files(mine) == before


@pytest.mark.parametrize("slow", ["whole", "half"])
@pytest.mark.parametrize("fast", ["whole", "half", "a failure"])
def test_a_driver_that_commits_before_any_write_of_a_reuse_loses_nothing(
    slow: str, fast: str, mine: Root, other: Root, tmp_path: Path
) -> None:
    half = growing(other, without=[IDS[0]])
    acts: dict[str, Callable[[Root], object]] = {
        "whole": lambda now: audio(now, other),
        "half": lambda now: audio(now, half),
        "a failure": commit_with_a_failure,
    }
    calls = 0
    while True:
        now = open_root(str(shutil.copytree(mine.store.url, tmp_path / f"{calls}")))
        with before_each_change(interposed := Once(calls, partial(acts[fast], now))):
            acts[slow](now)
        if not interposed.acted:
            break
        assert is_vouched_for(now) or slow == fast == "half", calls
        audio(now, other)
        assert is_vouched_for(now), calls
        calls += 1
    assert calls == 2


def test_a_reuse_that_is_cut_off_anywhere_is_finished_by_the_next_one(mine: Root, other: Root, tmp_path: Path) -> None:
    half, calls, is_cut = growing(other, without=[IDS[0]]), 0, True
    while is_cut:
        now = open_root(str(shutil.copytree(mine.store.url, tmp_path / f"{calls}")))
        try:
            with before_each_change(Cut(calls)):
                audio(now, half)
                audio(now, other)
            is_cut = False
        except ActionrecError:
            calls += 1
        audio(now, other)
        assert is_vouched_for(now), calls
        assert features(now, "audio") == {i: row for i, row in features(other, "audio").items() if i in FIRST}
    assert calls == 6


def test_what_a_kill_has_left_aside_is_not_believed_beside_a_mark(mine: Root, other: Root) -> None:
    commit_with_a_failure(mine)
    good = features(mine, "audio")
    vectors = {"frame_index": [0], "time_s": [0.0], "embedding": np.zeros((1, WIDTHS["audio"]), np.float32)}
    stale = schema.feature_table(STREAMS["audio"].schema(WIDTHS["audio"]), [(i, vectors) for i in good])
    mine.store.put(layout.taken("audio", 0), schema.to_parquet(stale, "mine"))
    reopening.failed(mine, ["audio"])
    columns = STREAMS["audio"].schema(WIDTHS["audio"])
    kept = Kept(mine.store, "audio", 0, "mine", columns)
    assert {i: kept.row(i, columns) for i in good} == good


def test_a_replace_deletes_what_lies_aside(mine: Root, other: Root) -> None:
    taken(mine, growing(other, without=IDS[:1]))
    assert len(mine.store.sizes(layout.TAKEN)) == 3
    replacing.delete(mine.store, DECODED)
    assert not mine.store.sizes(layout.TAKEN)


@pytest.mark.parametrize("damage", ["cut", "empty"])
@pytest.mark.parametrize("key", [layout.stage("audio"), layout.stage("flow"), layout.plan(0), layout.CATALOG])
def test_damage_after_which_nobody_knows_what_there_is_to_take_stops_at_once(
    damage: str, key: str, mine: Root, other: Root
) -> None:
    data = other.store.read(key)
    other.store.put(key, data[: len(data) // 2] if damage == "cut" else b"")
    with pytest.raises(InputError, match=f"{key} is damaged.*restore it, or leave --reuse out"):
        another(mine, other.store.url)


def test_a_plan_of_which_a_part_is_gone_stops_at_once(mine: Root, other: Root) -> None:
    other.store.put(layout.plan(1), other.store.read(layout.plan(0)))
    other.store.delete(layout.plan(0))
    with pytest.raises(InputError, match=f"{layout.plan(0)} is damaged, gone"):
        another(mine, other.store.url)


def test_a_record_of_a_stream_that_is_not_wanted_may_be_damaged(tmp_path: Path, source: Path, other: Root) -> None:
    mine = begun(tmp_path / "mine", source, streams=["spatial"])
    other.store.put(layout.stage("audio"), b"{")
    assert another(mine, other.store.url).fingerprint("spatial")


def test_why_videos_are_not_taken_is_said(mine: Root, other: Root, source: Path) -> None:
    (source / IDS[0]).unlink()
    (source / IDS[1]).write_bytes(b"x")
    ids = [*FIRST[:4], "c9/new.avi"]
    videos = {i: VideoFile(i, i, 2 if i == IDS[2] else 1) for i in ids}
    said = take(mine, another(mine, other.store.url), AUDIO, {0: ids}, videos).said
    why = "1 of other files there, 1 not in its parts, 1 not to be read here, 1 of other bytes there"
    assert said == f"audio of 1 of 5 videos taken from {other.store.url} ({why})"


def test_a_source_that_has_moved_away_is_no_lack_of_the_other_root(mine: Root, other: Root, source: Path) -> None:
    shutil.rmtree(source)
    assert f"flow of none of 12 videos taken from {other.store.url} (12 not to be read here)" in taken(mine, other).said
