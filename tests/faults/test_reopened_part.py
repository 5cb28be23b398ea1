"""A part that is computed again keeps what is good in it, wherever the work is cut off. No Ray here: cuts are exact."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actionrec import schema
from actionrec.errors import ActionrecError
from actionrec.storage import layout, parts, reopening
from tests.faults.test_part_worker import GOOD, OK, Part
from tests.tiny_roots import STREAMS, clip

MISSING = dict.fromkeys(STREAMS, "missing")
SILENT = clip(2)  # has no sound


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    """Two good videos, a silent one, and one that failed because its file was not there; committed."""
    made = Part(tmp_path, {**GOOD, "silent.avi": SILENT})
    (tmp_path / "videos/second.mp4").unlink()
    parts.plan(made.store, made.source_files(), 16, "fingerprint")
    assert made.run()["second.mp4"] == MISSING
    yield made
    made.worker.close()


def sources_gone_but(part: Part, name: str, data: bytes) -> None:
    for path in part.source.iterdir():
        path.unlink()
    (part.source / name).write_bytes(data)


def stored(part: Part) -> dict[str, dict[str, object]]:
    """Stream -> video_id -> its row."""
    found: dict[str, dict[str, object]] = {}
    for stream, width in (("spatial", 96), ("audio", 128)):
        rows = part.read(layout.feature(stream, 0), schema.embedding(stream, width)).to_pylist()
        found[stream] = {row["video_id"]: row for row in rows}
    found["flow"] = {row["video_id"]: row for row in part.read(layout.feature("flow", 0), schema.FLOW).to_pylist()}
    return found


def test_a_retry_computes_what_failed_and_keeps_what_is_good_though_its_source_is_gone(part: Part) -> None:
    before = stored(part)
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    reopening.failed(part.store, "fingerprint")
    assert parts.committed(part.store) == {}
    assert part.run() == {**dict.fromkeys(GOOD, OK), "silent.avi": {**OK, "audio": "no_audio"}}
    after = stored(part)
    for stream in STREAMS:
        assert list(after[stream]) == [i for i in part.source_files() if stream != "audio" or i != "silent.avi"]
        assert {i: row for i, row in after[stream].items() if i != "second.mp4"} == before[stream]
    assert not part.store.exists(layout.reopened(0))


def test_a_retry_that_is_cut_off_anywhere_loses_nothing(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    start = {key: part.store.read(key) for key in part.store.sizes("features/")}
    for puts in range(5):  # three streams, the mark, and what was stored aside
        part.store.delete("features/")
        for key, data in start.items():
            part.store.put(key, data)
        reopening.failed(part.store, "fingerprint")
        with monkeypatch.context() as patched:
            patched.setattr(part.worker, "_put", cut_off_after(puts, part.worker._put))
            patched.setattr(reopening.Kept, "forget", cut_off_after(0, reopening.Kept.forget))
            with pytest.raises(ActionrecError, match="cut off"):
                part.run()
        reopening.failed(part.store, "fingerprint")  # the same command again
        assert part.run() == {**dict.fromkeys(GOOD, OK), "silent.avi": {**OK, "audio": "no_audio"}}
        assert list(stored(part)["flow"]) == part.source_files()


def cut_off_after(calls: int, work: Callable[..., None]) -> Callable[..., None]:
    left = [calls]

    def cut_off(*arguments: object) -> None:
        if not left[0]:
            raise ActionrecError("cut off")
        left[0] -= 1
        work(*arguments)

    return cut_off


def test_a_video_that_is_gone_keeps_the_streams_that_it_had(part: Part) -> None:
    rows = part.read(layout.commit_mark(0), schema.STATUS).to_pylist()
    for row in rows:
        if (row["video_id"], row["stream"]) == ("first.avi", "audio"):
            row |= {"status": "failed", "reason": "corrupt"}
    table = schema.to_parquet(schema.STATUS.empty_table().from_pylist(rows, schema=schema.STATUS), "fingerprint")
    part.store.put(layout.commit_mark(0), table)
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    reopening.failed(part.store, "fingerprint")
    assert part.run()["first.avi"] == {**OK, "audio": "missing"}
    assert "first.avi" in stored(part)["spatial"] and "first.avi" not in stored(part)["audio"]


def test_what_changed_is_computed_anew_and_nothing_else(part: Part) -> None:
    before = stored(part)
    reopening.changed(part.store, "fingerprint", ["first.avi"])
    sources_gone_but(part, "first.avi", clip(4))
    part.videos = [video if video.video_id != "first.avi" else part.video("first.avi") for video in part.videos]
    assert part.run()["first.avi"] == OK
    after = stored(part)
    assert after["spatial"]["first.avi"] != before["spatial"]["first.avi"]
    assert after["spatial"]["third.mp4"] == before["spatial"]["third.mp4"]


def test_a_changed_video_that_cannot_be_read_keeps_nothing(part: Part) -> None:
    reopening.failed(part.store, "fingerprint")  # it has lost its mark already
    reopening.changed(part.store, "fingerprint", ["first.avi"])
    sources_gone_but(part, "second.mp4", GOOD["second.mp4"])
    assert part.run()["first.avi"] == MISSING
    assert "first.avi" not in stored(part)["spatial"]


def test_a_file_of_another_fingerprint_is_not_taken_over(part: Part) -> None:
    reopening.failed(part.store, "fingerprint")
    table = part.read(layout.feature("audio", 0), schema.embedding("audio", 128))
    part.store.put(layout.feature("audio", 0), schema.to_parquet(table, "another"))
    assert part.run()["first.avi"] == OK
    assert schema.fingerprint_of(part.store.read(layout.feature("audio", 0))) == "fingerprint"
    (part.source / "first.avi").unlink()
    reopening.failed(part.store, "fingerprint")
    part.store.put(layout.feature("audio", 0), schema.to_parquet(table, "another"))
    assert part.run()["first.avi"] == {**OK, "audio": "missing"}


def test_a_part_that_lacks_a_file_is_made_whole_from_what_is_there(part: Part) -> None:
    part.store.delete(layout.feature("audio", 0))
    (part.source / "third.mp4").unlink()
    reopening.incomplete(part.store, "fingerprint")
    assert part.run() == {
        "first.avi": OK, "second.mp4": MISSING, "third.mp4": {**OK, "audio": "missing"},
        "silent.avi": {**OK, "audio": "no_audio"},
    }  # fmt: skip


def test_motion_and_video_embeddings_follow_here_and_where_a_class_is_held_out(part: Part) -> None:
    outputs = ("", f"{layout.HOLDOUT}0123/")
    for output in outputs:
        part.store.put(f"{output}{layout.commit_mark(0, 'motion')}", b"x")
        part.store.put(f"{output}{layout.video_embeddings()}", b"x")
        part.store.put(f"{output}{layout.video_embeddings(3)}", b"x")
    reopening.failed(part.store, "fingerprint")
    assert not any(part.store.exists(f"{output}{layout.commit_mark(0, 'motion')}") for output in outputs)
    assert all(part.store.exists(f"{output}{layout.video_embeddings()}") for output in outputs)
    reopening.changed(part.store, "fingerprint", ["first.avi"])
    assert not any("embeddings/" in key for key in part.store.sizes())
