"""A part that is computed again keeps what is good in it, wherever the work is cut off. No Ray here: cuts are exact."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.cluster.watcher import Watcher
from actionrec.errors import ActionrecError
from actionrec.extraction.making import Making
from actionrec.storage import layout, parts, reopening
from actionrec.storage.streams import STREAMS as ROWS
from tests.faults.test_part_worker import GOOD, OK, Part
from tests.tiny_roots import STREAMS, clip

MISSING = dict.fromkeys(STREAMS, "missing")
SILENT = clip(2)  # has no sound


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    """Two good videos, a silent one, and one that failed because its file was not there; committed."""
    made = Part(tmp_path, {**GOOD, "silent.avi": SILENT})
    (tmp_path / "videos/second.mp4").unlink()
    parts.plan(made.store, made.source_files(), 16, "x", made.made)
    assert made.run()["second.mp4"] == MISSING
    yield made
    made.worker.close()


def sources_gone_but(part: Part, name: str, data: bytes) -> None:
    for path in part.source.iterdir():
        path.unlink()
    (part.source / name).write_bytes(data)


def stored(part: Part) -> dict[str, dict[str, Any]]:
    """Stream -> video_id -> its row."""
    return {stream: part.stored(stream) for stream in STREAMS}


def test_a_retry_computes_what_failed_and_keeps_what_is_good_though_its_source_is_gone(part: Part) -> None:
    before = stored(part)
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    reopening.failed(part.root, STREAMS)
    assert not part.outcomes()
    assert part.run() == {**dict.fromkeys(GOOD, OK), "silent.avi": {**OK, "audio": "no_audio"}}
    after = stored(part)
    for stream in STREAMS:
        assert list(after[stream]) == [i for i in part.source_files() if stream != "audio" or i != "silent.avi"]
        assert {i: row for i, row in after[stream].items() if i != "second.mp4"} == before[stream]
    assert not part.store.sizes(layout.REOPENED)


def test_features_that_lie_aside_are_kept_and_the_rest_of_the_part_is_computed(part: Part) -> None:
    before = stored(part)
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    reopening.failed(part.root, STREAMS)
    for stream in STREAMS:  # as `extract --reuse` leaves a part that it has not taken whole
        part.store.put(layout.taken(stream, 0), part.store.read(layout.feature(stream, 0)))
        part.store.delete(layout.feature(stream, 0))
    assert part.run() == {**dict.fromkeys(GOOD, OK), "silent.avi": {**OK, "audio": "no_audio"}}
    for stream in STREAMS:
        assert {i: row for i, row in part.stored(stream).items() if i != "second.mp4"} == before[stream]
    assert not part.store.sizes(layout.REOPENED)
    assert not part.store.sizes(layout.TAKEN)


def test_a_retry_that_is_cut_off_anywhere_loses_nothing(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    start = {key: part.store.read(key) for key in part.store.sizes("features/")}
    for puts in range(3 * 3):  # of each stream its features, its mark, and what was stored aside
        part.store.delete("features/")
        for key, data in start.items():
            part.store.put(key, data)
        reopening.failed(part.root, STREAMS)
        with monkeypatch.context() as patched:
            left = [puts]
            patched.setattr(Making, "_put", cut_off_after(left, Making._put))
            patched.setattr(reopening.Kept, "forget", cut_off_after(left, reopening.Kept.forget))
            with pytest.raises(ActionrecError, match="cut off"):
                part.run()
        reopening.failed(part.root, STREAMS)  # the same command again
        assert part.run() == {**dict.fromkeys(GOOD, OK), "silent.avi": {**OK, "audio": "no_audio"}}
        assert list(stored(part)["flow"]) == part.source_files()


def cut_off_after(left: list[int], work: Callable[..., None]) -> Callable[..., None]:
    """`left`: how many calls are done yet, of all that share it."""

    def cut_off(*arguments: object) -> None:
        if not left[0]:
            raise ActionrecError("cut off")
        left[0] -= 1
        work(*arguments)

    return cut_off


def test_a_video_that_is_gone_keeps_the_streams_that_it_had(part: Part) -> None:
    rows = part.mark("audio")
    for row in rows:
        if row["video_id"] == "first.avi":
            row |= {"status": "failed", "reason": "corrupt"}
    table = schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.STATUS), part.made["audio"])
    part.store.put(layout.commit_mark("audio", 0), table)
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    reopening.failed(part.root, STREAMS)
    assert part.run()["first.avi"] == {**OK, "audio": "missing"}
    assert "first.avi" in stored(part)["spatial"] and "first.avi" not in stored(part)["audio"]


def test_what_changed_is_computed_anew_and_nothing_else(part: Part) -> None:
    before = stored(part)
    reopening.changed(part.root, ["first.avi"])
    sources_gone_but(part, "first.avi", clip(4))
    part.videos = [video if video.video_id != "first.avi" else part.video("first.avi") for video in part.videos]
    assert part.run()["first.avi"] == OK
    after = stored(part)
    assert after["spatial"]["first.avi"] != before["spatial"]["first.avi"]
    assert after["spatial"]["third.mp4"] == before["spatial"]["third.mp4"]


def test_a_changed_video_that_cannot_be_read_keeps_nothing(part: Part) -> None:
    reopening.failed(part.root, STREAMS)  # it has lost its mark already
    reopening.changed(part.root, ["first.avi"])
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    assert part.run()["first.avi"] == MISSING
    assert "first.avi" not in stored(part)["spatial"]


def test_a_file_of_another_fingerprint_is_not_taken_over(part: Part) -> None:
    reopening.failed(part.root, STREAMS)
    table = part.read(layout.feature("audio", 0), ROWS["audio"].schema(128))
    part.store.put(layout.feature("audio", 0), schema.to_parquet(table, "another"))
    assert part.run()["first.avi"] == OK
    assert schema.fingerprint_of(part.store.read(layout.feature("audio", 0))) == part.made["audio"]
    (part.source / "first.avi").unlink()
    reopening.failed(part.root, STREAMS)
    part.store.put(layout.feature("audio", 0), schema.to_parquet(table, "another"))
    assert part.run()["first.avi"] == {**OK, "audio": "missing"}


def test_a_part_that_lacks_a_file_is_made_whole_from_what_is_there(part: Part) -> None:
    part.store.delete(layout.feature("audio", 0))
    (part.source / "third.mp4").unlink()
    reopening.incomplete(part.root, STREAMS)
    assert part.is_committed("flow") and not part.is_committed("audio")
    assert part.run() == {
        "first.avi": OK, "second.mp4": MISSING, "third.mp4": {**OK, "audio": "missing"},
        "silent.avi": {**OK, "audio": "no_audio"},
    }  # fmt: skip


def test_of_a_part_that_lacks_its_flow_nothing_else_is_computed_or_written(part: Part) -> None:
    (part.source / "second.mp4").write_bytes(GOOD["second.mp4"])
    reopening.failed(part.root, STREAMS)
    part.run()
    before, files = stored(part), part.store.versions("features/")
    part.store.delete(layout.feature("flow", 0))
    reopening.incomplete(part.root, STREAMS)
    part.worker.close()
    part.worker = part.worker_of("flow")
    part.run()
    assert stored(part) == before
    after = part.store.versions("features/")
    assert {key for key in files if after[key] != files[key]} <= {
        layout.feature("flow", 0),
        layout.commit_mark("flow", 0),
    }


def test_motion_and_video_embeddings_follow_here_and_where_a_class_is_held_out(part: Part) -> None:
    outputs = ("", f"{layout.HOLDOUT}0123/")
    marks = [f"{output}{layout.commit_mark('motion', 0)}" for output in outputs]
    for output, mark in zip(outputs, marks, strict=True):
        part.store.put(mark, b"x")
        part.store.put(f"{output}{layout.video_embeddings()}", b"x")
        part.store.put(f"{output}{layout.video_embeddings(3)}", b"x")
    reopening.failed(part.root, ["audio"])
    assert all(part.store.exists(mark) for mark in marks)
    reopening.failed(part.root, ["flow"])
    assert not any(part.store.exists(mark) for mark in marks)
    assert all(part.store.exists(f"{output}{layout.video_embeddings()}") for output in outputs)
    reopening.changed(part.root, ["first.avi"])
    assert not any("embeddings/" in key for key in part.store.sizes())


def test_what_lost_a_stream_by_another_fails_until_both_are_computed_again(part: Part) -> None:
    """Sampling goes by the flow, so what failed in both is made of both."""
    (part.source / "second.mp4").write_bytes(GOOD["second.mp4"])
    reopening.failed(part.root, ["flow"])
    assert part.is_committed("audio") and not part.is_committed("spatial")
    assert part.run()["second.mp4"] == {**OK, "audio": "missing"}


def test_a_stream_is_not_made_of_other_bytes_than_those_that_stay(part: Part) -> None:
    part.store.delete(layout.commit_mark("audio", 0))
    (part.source / "first.avi").write_bytes(clip(4))
    part.videos[0] = part.video("first.avi")
    assert part.run()["first.avi"] == {**OK, "audio": "integrity"}
    (detail,) = [row["detail"] for row in part.mark("audio") if row["video_id"] == "first.avi"]
    assert "since its stream flow was computed" in detail and "catalog again" in detail
    reopening.changed(part.root, ["first.avi"])
    assert part.run()["first.avi"] == OK


def test_of_a_part_that_was_cut_off_between_two_streams_only_the_rest_is_computed(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(part)
    part.store.delete("features/")
    with monkeypatch.context() as patched:
        patched.setattr(Making, "_put", cut_off_after([2], Making._put))
        with pytest.raises(ActionrecError, match="cut off"):
            part.run()
    assert [stream for stream in STREAMS if part.is_committed(stream)] == ["flow"]
    part.worker.close()
    part.worker = part.worker_of("spatial", "audio")  # without a flow network
    part.run()
    assert stored(part) == before


def test_pictures_are_made_of_no_video_that_lacks_only_its_sound(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    before, facts, asked = stored(part), part.mark("audio"), list[bool]()
    decode = part.worker._decode

    def watched(data: bytes, segment: Any, pictures: bool) -> Any:
        asked.append(pictures)
        return decode(data, segment, pictures)

    monkeypatch.setattr(part.worker, "_decode", watched)
    part.store.delete(layout.commit_mark("audio", 0))
    part.run()
    assert asked == [False, False, False]
    assert stored(part) == before
    counted = [[(row["video_id"], row["frames_decoded"]) for row in rows] for rows in (part.mark("audio"), facts)]
    assert counted[0] == counted[1]
    (part.source / "second.mp4").write_bytes(GOOD["second.mp4"])
    reopening.failed(part.root, STREAMS)
    part.run()
    assert asked[3:] == [True]


def test_one_that_computes_another_stream_meanwhile_is_not_disturbed(part: Part) -> None:
    """Two drivers, each with streams of its own: what either has committed stands."""
    before = stored(part)
    part.store.delete("features/")
    part.worker.close()
    for streams in (("audio",), ("flow",), ("flow", "spatial")):
        part.worker = part.worker_of(*streams)
        marks = {key: part.store.read(key) for key in part.store.sizes(layout.STATUS)}
        part.worker.run(0, [vars(video) for video in part.videos], Watcher())
        assert {key: part.store.read(key) for key in marks} == marks
        part.worker.close()
    assert stored(part) == before
