"""The same file on both sides of a split, told by the hashes of a stream's commit marks."""

from pathlib import Path

import pyarrow as pa

from actionrec import schema
from actionrec.storage import layout
from actionrec.storage.copies import leaks
from actionrec.storage.local_store import LocalStore

Video = tuple[str, str | None, str | None]  # video_id, split, sha256


def found(folder: Path, videos: list[Video]) -> list[str]:
    """One part that holds them all, committed."""
    store = LocalStore(str(folder))
    store.put(layout.feature("audio", 0), b"x")
    rows = [
        {"video_id": video_id, "stream": "audio", "status": "ok", "sha256": sha256} for video_id, _, sha256 in videos
    ]
    store.put(layout.commit_mark("audio", 0), schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.STATUS), "f"))
    catalog = [{"video_id": video_id, "group": video_id, "split": split} for video_id, split, _ in videos]
    return leaks(store, "audio", pa.Table.from_pylist(catalog, schema=schema.CATALOG))


def test_a_file_in_two_splits_is_named_with_both_its_names(tmp_path: Path) -> None:
    videos = [("a", "train", "1"), ("b", "test", "1"), ("c", "val", "2"), ("d", "train", "2"), ("e", "test", "3")]
    (said,) = found(tmp_path, videos)
    assert "'b' in test and 'a' in train are the same file" in said and "2 such files" in said


def test_twins_on_one_side_and_files_that_were_not_read_are_no_leak(tmp_path: Path) -> None:
    videos = [("a", "train", "1"), ("b", "train", "1"), ("c", "train", None), ("d", "test", None), ("e", None, "1")]
    assert found(tmp_path, videos) == []
