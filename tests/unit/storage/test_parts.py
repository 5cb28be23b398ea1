"""Parts are planned once, two drivers agree on them, and the catalog is held against what was committed."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionrec import schema
from actionrec.errors import ActionrecError, InputError
from actionrec.storage import layout, parts
from actionrec.storage.local_store import LocalStore

IDS = [f"{i}.avi" for i in range(10)]


MADE = {"flow": "f", "spatial": "s", "audio": "a"}


def commit(store: LocalStore, part: int, rows: list[dict[str, Any]], made: Mapping[str, str] = MADE) -> None:
    """Of each stream that is `made` the rows that are its own."""
    for stream, fingerprint in made.items():
        store.put(layout.feature(stream, part), b"not read here")
        table = pa.Table.from_pylist([row for row in rows if row["stream"] == stream], schema=schema.STATUS)
        store.put(layout.commit_mark(stream, part), schema.to_parquet(table, fingerprint))


def rows(video_id: str, status: str = "ok", **more: Any) -> list[dict[str, Any]]:
    return [{"video_id": video_id, "stream": s, "status": status, **more} for s in MADE]


def plan(store: LocalStore, video_ids: Sequence[str], part_videos: int) -> dict[int, list[str]]:
    return parts.plan(store, video_ids, part_videos, "c", MADE)


def test_a_plan_holds_every_video_once_and_never_moves_one(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    first = plan(store, IDS[:7], 3)
    assert [len(first[part]) for part in sorted(first)] == [3, 3, 1]
    grown = plan(store, IDS, 2)  # another part size concerns new videos only
    assert {part: grown[part] for part in first} == first
    assert sorted(video_id for ids in grown.values() for video_id in ids) == IDS
    assert plan(store, IDS, 5) == grown


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 40)), st.integers(1, 7)), max_size=4))
def test_whatever_is_added_each_video_is_in_one_part(additions: list[tuple[set[int], int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store, known = LocalStore(folder), set()
        found: dict[int, list[str]] = {}
        for numbers, size in additions:
            known |= {f"{n}.avi" for n in numbers}
            found = plan(store, sorted(known), size)
        planned = [video_id for ids in found.values() for video_id in ids]
        assert sorted(planned) == sorted(known)


@pytest.mark.parametrize("gone", [[0], [1], [0, 1]])
def test_a_gap_in_the_plan_is_one_sentence_and_no_further_plan(tmp_path: Path, gone: list[int]) -> None:
    store = LocalStore(str(tmp_path))
    for count in (3, 6, 10):
        plan(store, IDS[:count], 2)
    for generation in gone:
        store.delete(layout.plan(generation))
    before = store.versions(layout.PLANS)
    with pytest.raises(InputError, match=rf"00000{gone[0]}\.parquet: this part of the plan is gone.*--replace catalog"):
        plan(store, [*IDS, "new.avi"], 2)
    assert store.versions(layout.PLANS) == before


@pytest.mark.parametrize("stream", MADE)
def test_the_end_of_the_plan_that_is_gone_is_missed_by_what_it_planned(tmp_path: Path, stream: str) -> None:
    store = LocalStore(str(tmp_path))
    for count in (3, 6):
        plan(store, IDS[:count], 2)
    mark = schema.to_parquet(schema.STATUS.empty_table(), MADE[stream])
    store.put(layout.commit_mark(stream, 3), mark)
    store.delete(layout.plan(1))
    with pytest.raises(InputError, match=r"000001\.parquet: this part of the plan is gone, for part 3 is committed"):
        plan(store, IDS[:6], 2)
    store.put(layout.commit_mark(stream, 3), schema.to_parquet(schema.STATUS.empty_table(), "of before a --replace"))
    assert plan(store, IDS[:6], 2)


def test_a_plan_of_an_absurd_number_takes_no_memory(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put(layout.plan(999_999_999), b"")
    with pytest.raises(InputError, match=r"plan/000000\.parquet: this part of the plan is gone"):
        plan(store, IDS[:2], 2)


def test_what_is_no_plan_is_not_taken_for_one(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put(f"{layout.PLANS}notes.txt", b"mine")
    assert len(plan(store, IDS, 5)) == 2 == len(plan(store, IDS, 5))


class Odd(LocalStore):
    """A store that does not do as expected in one way."""

    def __init__(self, folder: Path, way: str) -> None:
        super().__init__(str(folder))
        self.way, self.puts = way, 0

    def put_new(self, key: str, data: bytes) -> bool:
        self.puts += 1
        if self.way == "keeps another's":
            table = pa.table({"part": pa.array([0], pa.int32()), "video_id": [f"other {self.puts}"]})
            return super().put_new(key, schema.to_parquet(table.cast(schema.PLAN), "f")) and False
        return True if self.way == "keeps nothing" else super().put_new(key, data)

    def sizes(self, prefix: str = "") -> dict[str, int | None]:
        return {} if self.way == "lists nothing" else super().sizes(prefix)


@pytest.mark.parametrize("way", ["keeps nothing", "keeps another's"])
def test_a_store_that_does_not_keep_a_plan_is_one_sentence(tmp_path: Path, way: str) -> None:
    store = Odd(tmp_path, way)
    with pytest.raises(ActionrecError, match=r"plan/0000\d\d\.parquet: (it was there a moment ago|planned 64 times)"):
        plan(store, IDS, 2)
    assert store.puts <= parts.CLAIMS


def test_a_listing_that_is_behind_does_not_hide_a_plan(tmp_path: Path) -> None:
    first = plan(LocalStore(str(tmp_path)), IDS[:7], 3)
    grown = plan(Odd(tmp_path, "lists nothing"), IDS, 3)
    assert {part: grown[part] for part in first} == first
    assert sorted(video_id for ids in grown.values() for video_id in ids) == IDS


def test_two_drivers_agree_on_one_plan(tmp_path: Path) -> None:
    store, found = LocalStore(str(tmp_path)), []
    drivers = [threading.Thread(target=lambda n=n: found.append(plan(store, IDS, n))) for n in (1, 2, 3, 4)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert all(each == found[0] for each in found)


def test_only_marks_count_as_committed(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put(layout.feature("spatial", 1), b"x")
    store.put(layout.commit_mark("motion", 2), b"x")
    store.put(f"{layout.STATUS}spatial-.parquet", b"x")
    store.put(f"{layout.STATUS}spatial-3.parquet", b"x")
    commit(store, 3, rows("a"))
    commit(store, 4, rows("b"))
    store.delete(layout.feature("audio", 4))  # a mark whose features somebody lost vouches for nothing
    assert {stream: set(parts.committed(store, stream)) for stream in MADE} == {
        "flow": {3, 4}, "spatial": {3, 4}, "audio": {3},
    }  # fmt: skip


def test_reconciling_accounts_for_every_video(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    bad = rows("bad", "failed", reason="empty", detail="zero bytes")
    quiet = rows("quiet")
    unknown = rows("unknown")
    quiet[2]["status"] = unknown[2]["status"] = "no_audio"
    unknown[2] |= {"reason": "no_decoder", "detail": "no decoder knows its audio codec 'ac4'"}
    commit(store, 0, rows("good") + bad + quiet + unknown)
    commit(store, 1, rows("half")[:2] + rows("gone-from-the-catalog"))
    found = parts.reconcile(store, ["good", "bad", "quiet", "unknown", "half", "never"], MADE)
    assert (found.ok, found.no_audio, found.no_decoder, found.videos) == (3, 2, 1, 6)
    assert found.failed == {"bad": ("empty", "zero bytes")}
    assert set(found.missing) == {"half", "never"}
    assert found.repeated == ()
    commit(store, 2, rows("good"))
    assert parts.reconcile(store, ["good"], MADE).repeated == ("good",)


def test_a_damaged_status_file_is_named(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    commit(store, 5, [])
    store.put(layout.commit_mark("audio", 5), b"PAR1")
    with pytest.raises(InputError, match=r"audio-000005\.parquet"):
        parts.reconcile(store, ["a"], MADE)


def test_a_part_from_before_a_replacement_is_not_trusted(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    commit(store, 0, rows("a"), MADE | {"audio": "before"})
    assert parts.reconcile(store, ["a"], MADE).missing == ("a",)
    assert not parts.committed(store, "audio")  # so that the next run computes it again
    assert set(parts.committed(store, "flow")) == {0}
    assert parts.reconcile(store, ["a"], {"flow": "f"}).ok == 1


class CountingStore(LocalStore):
    """Notes which marks are read."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.keys: list[str] = []

    def read(self, key: str) -> bytes:
        self.keys.append(key)
        return super().read(key)


def test_a_mark_is_read_once_and_again_when_it_was_written_again(tmp_path: Path) -> None:
    store = CountingStore(str(tmp_path))
    commit(store, 0, rows("a"))
    commit(store, 1, rows("b", "failed", reason="empty", detail="zero bytes"))
    assert parts.reconcile(store, ["a", "b"], MADE).failed == {"b": ("empty", "zero bytes")}
    assert len(store.keys) == 6
    assert parts.reconcile(store, ["a", "b"], MADE).ok == 1 and len(store.keys) == 6
    commit(store, 1, rows("b"))  # as --retry-failed does, or another driver
    commit(store, 2, rows("c"))
    assert parts.reconcile(store, ["a", "b", "c"], MADE) == parts.Reconciled(ok=3)
    assert sorted(store.keys[6:]) == sorted(layout.commit_mark(stream, part) for stream in MADE for part in (1, 2))
    store.delete(layout.commit_mark("spatial", 0))
    assert parts.reconcile(store, ["a", "b", "c"], MADE).missing == ("a",)


def test_many_marks_make_one_table_in_the_order_of_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    store = LocalStore(str(tmp_path))
    for part in range(8):
        commit(store, part, rows(f"{part}.avi"))
    table = parts.statuses(store, "flow", "f")
    assert table.schema == schema.OUTCOME
    assert parts.by_part(table) == {n: [f"{n}.avi"] for n in range(8)}
