"""A catalog keeps up with its source, and never forgets a video that features were made of."""

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from actionrec import schema
from actionrec.errors import GoneError, InputError
from actionrec.storage import layout, parts
from actionrec.storage.root import Root, open_root
from actionrec.storage.sources import catalog, kept, refuse_absent, refuse_needed
from actionrec.storage.streams import STREAMS
from tests.tiny_features import begin_streams

EXTRACTED = {name for name, row in STREAMS.items() if row.decoded}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(name.encode())
    return tmp_path / "videos"


def opened(source: Path, replace: str | tuple[str, ...] = ()) -> Root:
    return open_root(str(source.parent / "root"), [{"data": {"source": str(source)}}], replace)


def extracted(source: Path, failed: str) -> None:
    """A root whose status says that every stream of every video is ok, but for those of `failed`."""
    root = opened(source)
    ids = catalog(root).table["video_id"].to_pylist()
    made = begin_streams(opened(source))
    parts.plan(root.store, ids, len(ids), "c", made)
    for stream, fingerprint in made.items():
        rows = [
            {
                "video_id": video_id,
                "stream": stream,
                "status": "failed" if video_id == failed else "ok",
                "sha256": None if video_id == failed else hashlib.sha256((source / video_id).read_bytes()).hexdigest(),
            }
            for video_id in ids
        ]
        root.store.put(layout.feature(stream, 0), b"not read here")
        table = pa.Table.from_pylist(rows, schema=schema.STATUS)
        root.store.put(layout.commit_mark(stream, 0), schema.to_parquet(table, fingerprint))


def committed(source: Path) -> set[str]:
    """The streams of which the part is committed."""
    return {stream for stream in STREAMS if parts.committed(opened(source).store, stream)}


def test_a_catalog_that_is_up_to_date_is_not_written_again(source: Path) -> None:
    assert catalog(opened(source)).new == 4
    before = {path: path.stat().st_mtime_ns for path in (source.parent / "root").rglob("*")}
    assert catalog(opened(source)).new == 0
    assert {path: path.stat().st_mtime_ns for path in (source.parent / "root").rglob("*")} == before


def test_a_catalog_of_before_gets_the_columns_it_lacks_and_nothing_else(source: Path) -> None:
    catalog(opened(source))
    path = source.parent / "root" / layout.CATALOG
    now = pa.parquet.read_table(path)
    added = sorted(schema.ADDED.intersection(now.column_names))
    path.write_bytes(schema.to_parquet(now.drop_columns(added), "of before"))
    assert catalog(opened(source)).new == 0
    assert pa.parquet.read_table(path).equals(now)


def test_new_videos_are_added(source: Path) -> None:
    catalog(opened(source))
    (source / "a" / "5.mp4").write_bytes(b"x")
    found = catalog(opened(source))
    assert (found.new, found.table.num_rows) == (1, 5)


def test_a_video_with_features_may_not_go(source: Path) -> None:
    extracted(source, failed="none")
    (source / "a" / "1.mp4").unlink()
    with pytest.raises(InputError, match=r"a/1\.mp4.*--replace catalog"):
        catalog(opened(source))
    assert catalog(opened(source, replace="catalog")).table.num_rows == 3
    assert not committed(source)


def rows_of(root: Root) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for row in root.catalog().to_pylist()}


def good(source: Path) -> set[str]:
    """The videos whose features stay good though their part is to be computed again."""
    found = []
    for stream in EXTRACTED:
        data = (source.parent / "root" / layout.reopened(stream, 0)).read_bytes()
        found.append(set(schema.from_parquet(data, schema.STATUS, "reopened")["video_id"].to_pylist()))
    assert all(each == found[0] for each in found)
    return found[0]


ALL = {"a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"}


@pytest.mark.parametrize("content", [b"of another size", b"A/1.mp4"])
def test_a_file_that_has_changed_is_taken_over_and_its_features_made_anew(source: Path, content: bytes) -> None:
    extracted(source, failed="none")
    write_later(source / "a/1.mp4", content)
    found = catalog(opened(source))
    assert found.new == 0 and any("1 files have changed" in w and "'a/1.mp4'" in w for w in found.warnings)
    assert not committed(source) and good(source) == ALL - {"a/1.mp4"}
    row = rows_of(opened(source))["a/1.mp4"]
    assert (row["bytes"], row["revision"]) == (len(content), 1)
    before = opened(source).store.versions("")
    assert catalog(opened(source)).warnings == found.warnings[:-1]
    assert opened(source).store.versions("") == before
    write_later(source / "b/3.mp4", content)  # and another one of the same part, before it is computed again
    catalog(opened(source))
    assert good(source) == ALL - {"a/1.mp4", "b/3.mp4"}
    assert {i: row["revision"] for i, row in rows_of(opened(source)).items() if row["revision"]} == {
        "a/1.mp4": 1, "b/3.mp4": 1,
    }  # fmt: skip


def write_later(path: Path, content: bytes) -> None:
    """As a later write would: the clock that file times are taken from may stand still for milliseconds."""
    now = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(now + 10**9, now + 10**9))


def test_a_file_that_was_only_touched_costs_nothing(source: Path) -> None:
    extracted(source, failed="none")
    write_later(source / "a/1.mp4", b"a/1.mp4")
    assert not any("changed" in warning for warning in catalog(opened(source)).warnings)
    assert committed(source) == EXTRACTED
    assert rows_of(opened(source))["a/1.mp4"]["revision"] is None


def test_a_catalog_cut_off_before_it_is_stored_finds_the_change_again(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted(source, failed="none")
    write_later(source / "a/1.mp4", b"A/1.mp4")
    with monkeypatch.context() as patched:
        patched.setattr("actionrec.storage.sources.schema.to_parquet", None)
        with pytest.raises(TypeError):
            catalog(opened(source))
    catalog(opened(source))
    assert rows_of(opened(source))["a/1.mp4"]["revision"] == 1 and good(source) == ALL - {"a/1.mp4"}


def test_a_catalog_of_an_earlier_release_goes_by_sizes_and_learns_the_versions(source: Path) -> None:
    extracted(source, failed="none")
    root = opened(source)
    older = root.catalog().drop_columns(["version", "revision"])
    root.store.put(layout.CATALOG, schema.to_parquet(older, "x"))
    write_later(source / "a/1.mp4", b"A/1.mp4")
    assert not any("changed" in warning for warning in catalog(opened(source)).warnings)
    write_later(source / "a/1.mp4", b"a/2.mp4")
    assert any("changed" in warning for warning in catalog(opened(source)).warnings)


def test_objects_are_told_apart_by_their_tags(s3_bucket: tuple[str, str], tmp_path: Path) -> None:
    import boto3

    endpoint, bucket = s3_bucket
    client = boto3.client("s3", endpoint_url=endpoint)

    def changed() -> bool:
        layers = [{"data": {"source": f"s3://{bucket}/changing"}, "storage": {"endpoint_url": endpoint}}]
        return any("have changed" in warning for warning in catalog(open_root(str(tmp_path), layers)).warnings)

    for content, is_other in ((b"one", False), (b"one", False), (b"two", True), (b"two", False), (b"three", True)):
        client.put_object(Bucket=bucket, Key="changing/a/1.mp4", Body=content)
        assert changed() == is_other


def test_a_replaced_catalog_goes_on_where_the_command_was_interrupted(source: Path) -> None:
    extracted(source, failed="none")
    mark = source.parent / "root" / layout.commit_mark("audio", 0)
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
    assert committed(source) == EXTRACTED


def test_a_csv_is_not_taken_for_a_folder(source: Path) -> None:
    (source / "clips.csv").write_text("path,label\na/1.mp4,a\n")
    with pytest.raises(InputError, match="--dataset csv"):
        catalog(opened(source / "clips.csv"))


def test_links_within_the_source_are_videos_like_others(source: Path) -> None:
    (source / "c").symlink_to("a")
    (source / "b" / "5.mp4").symlink_to(source / "a" / "1.mp4")
    table = catalog(opened(source)).table
    labels = dict(zip(table["video_id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert {video_id: label for video_id, label in labels.items() if video_id not in ("a/1.mp4", "a/2.mp4")} == {
        **{"b/3.mp4": "b", "b/4.mp4": "b", "b/5.mp4": "b"},
        **{"c/1.mp4": "c", "c/2.mp4": "c"},
    }
    (source / "a" / "round").symlink_to("..")
    with pytest.raises(InputError, match=r"round/.*: this link lies in a folder that is one"):
        catalog(opened(source))


LISTS = {
    "ucf101": {
        "ucfTrainTestlist/classInd.txt": b"1 a\n2 b\n",
        "ucfTrainTestlist/trainlist01.txt": b"a/1.mp4 1\nb/3.mp4 2\n",
        "ucfTrainTestlist/testlist01.txt": b"a/2.mp4\nb/4.mp4\n",
    },
    "hmdb51": {"lists/a_test_split1.txt": b"1.mp4 1\n2.mp4 2\n", "lists/b_test_split1.txt": b"3.mp4 1\n4.mp4 2\n"},
}


@pytest.mark.parametrize("dataset", LISTS)
def test_lists_that_nobody_has_spoken_of_stop_the_catalog_and_name_both_ways(source: Path, dataset: str) -> None:
    for name, content in LISTS[dataset].items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"one of {dataset.upper()}'s lists.*--dataset {dataset}`.*--dataset folder`"):
        catalog(opened(source))
    assert not (source.parent / "root").exists()
    by_lists = {"data": {"source": str(source), "dataset": dataset}}
    listed = catalog(open_root(str(source.parent / "listed"), [by_lists])).table
    assert dict(zip(listed["video_id"].to_pylist(), listed["split"].to_pylist(), strict=True))["a/2.mp4"] == "test"
    plainly = {"data": {"source": str(source), "dataset": "folder"}}
    assert catalog(open_root(str(source.parent / "root"), [plainly])).table.num_rows == 4
    assert catalog(opened(source)).new == 0  # the root knows what it was told


def test_another_source_must_be_spoken_of_again(source: Path) -> None:
    catalog(opened(source))
    other = source.parent / "other"
    shutil.copytree(source, other)
    for name, content in LISTS["hmdb51"].items():
        (other / name).parent.mkdir(exist_ok=True)
        (other / name).write_bytes(content)
    layer = {"data": {"source": str(other)}}
    with pytest.raises(InputError, match="--dataset folder"):
        catalog(open_root(str(source.parent / "root"), [layer], "catalog"))


def test_lists_in_a_bucket_stop_the_catalog_too(s3_bucket: tuple[str, str], tmp_path: Path) -> None:
    import boto3

    endpoint, bucket = s3_bucket
    for name, content in {**LISTS["ucf101"], "a/1.mp4": b"x"}.items():
        boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=bucket, Key=f"listed/{name}", Body=content)
    layers = [{"data": {"source": f"s3://{bucket}/listed"}, "storage": {"endpoint_url": endpoint}}]
    with pytest.raises(InputError, match=rf"s3://{bucket}/listed/ucfTrainTestlist/classInd.txt .*--dataset ucf101"):
        catalog(open_root(str(tmp_path), layers))


def gone(source: Path) -> GoneError:
    with pytest.raises(GoneError) as raised:
        catalog(opened(source))
    return raised.value


@pytest.mark.parametrize("left", [None, "a/notes.txt"])
def test_a_source_that_is_gone_is_refused_and_a_run_that_needs_none_of_it_keeps_the_catalog(
    source: Path, left: str | None
) -> None:
    extracted(source, failed="a/1.mp4")
    before = opened(source).store.versions("")
    shutil.rmtree(source)
    if left:
        (source / left).parent.mkdir(parents=True)
        (source / left).write_text("of the move")
    error = gone(source)
    assert 0 < str(error).index("bring them back") < str(error).index("--replace")
    found = kept(opened(source), error, retry_failed=False)
    assert found.table.num_rows == 4 and "nothing needs it" in found.warnings[0]
    with pytest.raises(InputError, match=r"1 of 4 videos have still .* the first is 'a/1\.mp4'; bring it"):
        kept(opened(source), error, retry_failed=True)
    for stage in ("catalog", "spatial", "extract"):
        with pytest.raises(GoneError):
            kept(opened(source, replace=stage), error, retry_failed=False)
    assert opened(source).store.versions("") == before


def test_a_source_that_is_gone_is_missed_where_not_all_is_extracted(source: Path) -> None:
    catalog(opened(source))
    shutil.rmtree(source)
    with pytest.raises(InputError, match="4 of 4 videos have still to be extracted"):
        kept(opened(source), gone(source), retry_failed=False)


def test_videos_under_other_names_are_no_source_that_is_gone(source: Path) -> None:
    extracted(source, failed="none")
    (source / "a").rename(source / "c")
    (source / "b").rename(source / "d")
    with pytest.raises(InputError, match="4 catalogued videos are gone") as raised:
        catalog(opened(source))
    assert not isinstance(raised.value, GoneError)


def test_a_bucket_that_is_gone_is_a_source_that_is_gone(s3_bucket: tuple[str, str], tmp_path: Path) -> None:
    layers = [{"data": {"source": "s3://moved-away/videos"}, "storage": {"endpoint_url": s3_bucket[0]}}]
    with pytest.raises(GoneError, match="no bucket moved-away"):
        catalog(open_root(str(tmp_path), layers))


@pytest.mark.parametrize("left", [None, "a/notes.txt", "c/renamed.mp4"])
def test_an_extraction_that_needs_a_source_that_is_gone_is_refused(source: Path, left: str | None) -> None:
    extracted(source, failed="a/1.mp4")
    shutil.rmtree(source)
    if left:
        (source / left).parent.mkdir(parents=True)
        (source / left).write_text("of the move")
    root = opened(source)
    refuse_needed(root, root.catalog(), retry_failed=False)  # nothing needs it
    with pytest.raises(GoneError, match=rf"^{source}: .* 1 of 4 videos have still .*bring it back"):
        refuse_needed(root, root.catalog(), retry_failed=True)
    with pytest.raises(GoneError, match=rf"^{source}: none of the 4 catalogued videos .*bring them back$"):
        refuse_needed(opened(source, replace="extract"), root.catalog(), retry_failed=False)


def test_a_source_of_which_one_catalogued_file_is_left_is_not_gone(source: Path) -> None:
    table = catalog(opened(source)).table
    for name in ("a/1.mp4", "a/2.mp4", "b/3.mp4"):
        (source / name).unlink()
        refuse_absent(opened(source), table)
    (source / "b/4.mp4").unlink()
    with pytest.raises(GoneError):
        refuse_absent(opened(source), table)


def test_videos_that_were_never_there_are_failures_and_no_source_that_is_gone(source: Path) -> None:
    table = catalog(opened(source)).table
    nowhere = pa.nulls(table.num_rows, table.schema.field("bytes").type)
    shutil.rmtree(source)
    refuse_absent(opened(source), table.set_column(table.schema.get_field_index("bytes"), "bytes", nowhere))


def test_a_bucket_that_is_gone_or_emptied_is_missed_by_an_extraction(
    s3_bucket: tuple[str, str], tmp_path: Path
) -> None:
    import boto3

    endpoint, bucket = s3_bucket
    client = boto3.client("s3", endpoint_url=endpoint)
    for name in ("a/1.mp4", "b/2.mp4"):
        client.put_object(Bucket=bucket, Key=f"moving/{name}", Body=b"x")
    layers = [{"data": {"source": f"s3://{bucket}/moving"}, "storage": {"endpoint_url": endpoint}}]
    catalog(open_root(str(tmp_path), layers))
    root = open_root(str(tmp_path), layers)
    client.delete_object(Bucket=bucket, Key="moving/a/1.mp4")
    refuse_absent(root, root.catalog())
    client.delete_object(Bucket=bucket, Key="moving/b/2.mp4")
    with pytest.raises(GoneError, match=f"^s3://{bucket}/moving: .* 2 of 2 videos have still"):
        refuse_needed(root, root.catalog(), retry_failed=False)
    other = dataclasses.replace(root.config.data, source="s3://moved-away/videos")
    moved = dataclasses.replace(root, config=dataclasses.replace(root.config, data=other))
    with pytest.raises(GoneError, match="s3://moved-away/videos"):
        refuse_needed(moved, root.catalog(), retry_failed=False)
