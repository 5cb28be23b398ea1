"""One contract over both kinds of store: whole or absent, keys are opaque, refusals are sentences."""

import os
import stat
import threading
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest

from actionrec import patience
from actionrec.config import Storage
from actionrec.errors import ActionrecError, InputError
from actionrec.storage.local_store import LocalStore
from actionrec.storage.store import Store, open_store

HOSTILE_KEYS = [
    "plain.avi",
    "with space & plus+.avi",
    "percent%20#?x=1.avi",
    "quote'\"`.avi",
    "-dash.avi",
    "con:a|b.avi",
    "ünï/日本語.avi",
    "[glob]*{a,b}.avi",
    "a::b.avi",
    "x" * 200 + ".avi",
]


@pytest.fixture(params=["local", "s3"])
def store(request: Any, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "root"), Storage())
    endpoint, bucket = request.getfixturevalue("s3_bucket")
    return open_store(f"s3://{bucket}/{uuid.uuid4()}", Storage(endpoint_url=endpoint))


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_key_comes_back_as_it_was(store: Store, key: str) -> None:
    assert not store.exists(key)
    store.put(key, b"one")
    store.put(key, b"two")
    assert store.read(key) == b"two"
    assert store.exists(key) and store.size(key) == 3
    assert store.sizes() == {key: 3}


def test_a_version_changes_with_the_object_and_only_then(store: Store) -> None:
    store.put("folder/a", b"one")
    store.put("folder/b", b"one")
    before = store.versions("folder/")
    assert set(before) == {"folder/a", "folder/b"} and store.versions("folder/") == before
    store.put("folder/a", b"two")
    after = store.versions("folder/")
    assert after["folder/a"] != before["folder/a"] and after["folder/b"] == before["folder/b"]


def test_a_folder_is_no_object_and_has_no_size(store: Store) -> None:
    store.put("folder/a", b"one")
    assert store.size("folder/b") is store.size("folder") is None and not store.exists("folder")


def test_put_new_never_replaces(store: Store) -> None:
    assert store.put_new("plan/0.parquet", b"mine")
    assert not store.put_new("plan/0.parquet", b"yours")
    assert store.read("plan/0.parquet") == b"mine"


def test_of_many_writers_of_one_new_key_exactly_one_wins(store: Store) -> None:
    won: list[bytes] = []
    writers = [
        threading.Thread(target=lambda data=data: won.append(data) if store.put_new("key", data) else None)
        for data in (b"%d" % i for i in range(8))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [store.read("key")] == won


def test_a_listing_keeps_to_its_prefix_and_a_deletion_too(store: Store) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "c"):
        store.put(key, b"x")
    assert set(store.sizes("a/")) == {"a/1", "a/b/2"}
    store.delete("a/")
    assert set(store.sizes()) == {"ab/3", "c"}
    store.delete("c")
    store.delete("never-there")
    assert set(store.sizes()) == {"ab/3"}


def test_the_objects_that_stand_for_folders_in_a_bucket_are_not_listed(s3_bucket: tuple[str, str]) -> None:
    endpoint, bucket = s3_bucket
    store = open_store(f"s3://{bucket}/{uuid.uuid4()}", Storage(endpoint_url=endpoint))
    for key in ("", "a/", "a/x.avi"):
        boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=bucket, Key=f"{store.url.split('/', 3)[3]}/{key}")
    assert store.sizes() == {"a/x.avi": 0}


def test_what_is_not_there_is_a_file_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing/here")
    assert store.sizes("nothing/") == {}


def test_local_keys_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    store = LocalStore(str(tmp_path / "root"))
    store.put("a", b"x")
    os.symlink(tmp_path / "secret", tmp_path / "root" / "link")
    for key in ("../secret", str(tmp_path / "secret"), "a/../../secret", "nul\0"):
        with pytest.raises(FileNotFoundError):
            store.read(key)
    with pytest.raises(PermissionError, match="leads out"):
        store.read("link")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ActionrecError, match="cannot be written"):
        LocalStore(str(tmp_path / "file" / "root")).put("key", b"x")


def test_an_interrupted_write_leaves_nothing_that_is_listed(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    (tmp_path / ".tmp-abc").write_bytes(b"half")
    assert store.sizes() == {}


def test_results_are_as_readable_as_any_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    LocalStore(str(tmp_path)).put("key", b"x")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_links_out_and_things_that_are_no_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    os.mkfifo(tmp_path / "root" / "pipe.mp4")
    os.symlink(tmp_path / "root" / "nowhere", tmp_path / "root" / "dangling.mp4")
    store = LocalStore(str(tmp_path / "root"))
    assert store.sizes() == {"pipe.mp4": None, "dangling.mp4": None}
    for key in store.sizes():
        with pytest.raises(FileNotFoundError):
            store.read(key)
    os.symlink(tmp_path / "outside", tmp_path / "root" / "Class")
    with pytest.raises(InputError, match="Class: this link leads out"):
        store.sizes()


REFUSED = ["", "ftp://host/x", "http://host/x", "s3://", "s3:///x", "file://rel/x"]
WITH_SECRETS = ["s3://key:SECRET@bucket/x", "s3://bucket/x?sig=SECRET"]


@pytest.mark.parametrize("url", [*REFUSED, *WITH_SECRETS])
def test_a_url_that_is_refused_shows_no_secret(url: str) -> None:
    with pytest.raises(InputError) as refusal:
        open_store(url, Storage())
    assert "SECRET" not in str(refusal.value)


def test_an_endpoint_with_credentials_is_refused() -> None:
    with pytest.raises(InputError) as refusal:
        open_store("s3://bucket/x", Storage(endpoint_url="http://KEY:SECRET@host"))
    assert "SECRET" not in str(refusal.value)


def test_a_bucket_that_is_not_there_and_a_wrong_key_are_named(s3_bucket: tuple[str, str], monkeypatch: Any) -> None:
    endpoint, _ = s3_bucket
    with pytest.raises(InputError, match="no bucket"):
        open_store("s3://no-such-bucket/x", Storage(endpoint_url=endpoint)).sizes("y/")


def test_a_server_that_is_not_there_is_one_sentence(
    s3_bucket: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_PAUSE_S", 0.01)
    store = open_store("s3://bucket/x", Storage(endpoint_url="http://127.0.0.1:9"))
    for action in (lambda: store.read("key"), store.sizes, lambda: store.put("key", b"x")):
        with pytest.raises(ActionrecError, match="does not answer"):
            action()
