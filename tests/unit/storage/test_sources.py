"""A catalog keeps up with its source, and never forgets a video that features were made of."""

from pathlib import Path

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.root import Root, begin, open_root
from actionrec.storage.sources import catalog


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(name.encode())
    return tmp_path / "videos"


def opened(source: Path, replace: str | None = None) -> Root:
    return open_root(str(source.parent / "root"), [{"data": {"source": str(source)}}], replace)


def extracted(source: Path, failed: str) -> None:
    """A root whose status says that every stream of every video is ok, but for those of `failed`."""
    root = opened(source)
    ids = catalog(root).table["video_id"].to_pylist()
    fingerprint = begin(opened(source), "extract", {})
    rows = [
        {"video_id": video_id, "stream": stream, "status": "failed" if video_id == failed else "ok"}
        for video_id in ids
        for stream in layout.EXTRACT_STREAMS
    ]
    for stream in layout.EXTRACT_STREAMS:
        root.store.put(layout.feature(stream, 0), b"not read here")
    table = pa.Table.from_pylist(rows, schema=schema.STATUS)
    root.store.put(layout.commit_mark(0), schema.to_parquet(table, fingerprint))


def test_a_catalog_that_is_up_to_date_is_not_written_again(source: Path) -> None:
    assert catalog(opened(source)).new == 4
    before = {path: path.stat().st_mtime_ns for path in (source.parent / "root").rglob("*")}
    assert catalog(opened(source)).new == 0
    assert {path: path.stat().st_mtime_ns for path in (source.parent / "root").rglob("*")} == before


def test_new_videos_are_added(source: Path) -> None:
    catalog(opened(source))
    (source / "a" / "5.mp4").write_bytes(b"x")
    found = catalog(opened(source))
    assert (found.new, found.table.num_rows) == (1, 5)


def test_a_video_with_features_may_not_change_or_go(source: Path) -> None:
    extracted(source, failed="none")
    (source / "a" / "1.mp4").write_bytes(b"another size")
    with pytest.raises(InputError, match=r"a/1\.mp4.*--replace catalog"):
        catalog(opened(source))
    (source / "a" / "1.mp4").unlink()
    with pytest.raises(InputError, match=r"a/1\.mp4.*--replace catalog"):
        catalog(opened(source))
    assert catalog(opened(source, replace="catalog")).table.num_rows == 3
    assert not (source.parent / "root" / layout.commit_mark(0)).exists()


def test_a_replaced_catalog_goes_on_where_the_command_was_interrupted(source: Path) -> None:
    extracted(source, failed="none")
    mark = source.parent / "root" / layout.commit_mark(0)
    catalog(opened(source, replace="catalog"))
    assert not mark.exists()
    extracted(source, failed="none")
    catalog(opened(source, replace="catalog"))
    assert mark.exists()
    opened(source).finish("catalog")
    catalog(opened(source, replace="catalog"))
    assert not mark.exists()


def test_a_video_that_failed_may_be_mended_or_taken_away(source: Path) -> None:
    extracted(source, failed="a/1.mp4")
    (source / "a" / "1.mp4").write_bytes(b"mended, and longer")
    sizes = dict(zip(*(catalog(opened(source)).table[name].to_pylist() for name in ("video_id", "bytes")), strict=True))
    assert sizes["a/1.mp4"] == len(b"mended, and longer")
    (source / "a" / "1.mp4").unlink()
    assert catalog(opened(source)).table.num_rows == 3


def test_a_typing_error_deletes_nothing(source: Path) -> None:
    extracted(source, failed="none")
    with pytest.raises(InputError, match="nothing there"):
        catalog(open_root(str(source.parent / "root"), [{"data": {"source": "/no/such/folder"}}], "catalog"))
    assert (source.parent / "root" / layout.commit_mark(0)).exists()


def test_a_csv_is_not_taken_for_a_folder(source: Path) -> None:
    (source / "clips.csv").write_text("path,label\na/1.mp4,a\n")
    with pytest.raises(InputError, match="--dataset csv"):
        catalog(opened(source / "clips.csv"))
