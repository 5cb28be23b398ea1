"""The whole product over a real S3 server, source and root, with endpoint and credentials from the environment."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

from actionrec.config import Storage
from actionrec.storage.store import open_store
from tests.faults.drivers import REPOSITORY, Driver
from tests.faults.s3_fault_proxy import FaultProxy
from tests.swift import Swift, swift
from tests.tiny_roots import SMALL, assert_accounted, assert_equal_values, values, weights, write_clips

pytestmark = pytest.mark.timeout(600)

NUMBERS = range(18)
TABLES = ("table1", "table2", "svm", "ablation", "classes", "confusion", "predictions", "anomaly")
MODELS = ("motion_cnn", "rnn-spatial", "rnn-motion", "rnn-audio", "fusion", "autoencoder")


@pytest.fixture(scope="module")
def store() -> Iterator[Swift]:
    with swift() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(store: Swift) -> Iterator[FaultProxy]:
    """Breaks nothing: it remembers what was asked of the store."""
    with FaultProxy(store.endpoint) as between:
        yield between


@pytest.fixture
def environment(store: Swift, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user sets. Drivers, and Ray's workers below them, inherit it."""
    for name, value in store.environment(proxy.url).items():
        monkeypatch.setenv(name, value)


class Finished(NamedTuple):
    """A whole run on the store, and the same on a folder."""

    ids: list[str]
    said: str
    remote: Path  # what lies under the root in the bucket, fetched
    local: Path
    working: Path  # where the command was typed


def run(job: str, *arguments: object, folder: Path) -> str:
    """A job typed in `folder`, which succeeds; what it said."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with Driver(*arguments, script=REPOSITORY / f"jobs/{job}.py") as driver:
            assert driver.wait(480) == 0, driver.output()
            assert not driver.orphans()
            return driver.output()
    finally:
        os.chdir(before)


def fetch(store: Swift, prefix: str, folder: Path) -> Path:
    client = store.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=f"{prefix}/"):
        for item in page["Contents"]:
            path = folder / item["Key"].removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=store.bucket, Key=item["Key"])["Body"].read())
            assert path.stat().st_size == item["Size"] > 0
    return folder


@pytest.fixture(scope="module")
def finished(store: Swift, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("swift")
    ids = write_clips(folder / "videos", NUMBERS)
    client = store.client()
    for video_id in ids:
        client.upload_file(str(folder / "videos" / video_id), store.bucket, f"videos/{video_id}")
    for path in Path(weights()[0], "weights").iterdir():  # random ones, which take long to make
        client.upload_file(str(path), store.bucket, f"run/weights/{path.name}")
        (folder / "local/weights").mkdir(parents=True, exist_ok=True)
        os.link(path, folder / "local/weights" / path.name)
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    (folder / "working").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment(proxy.url).items():
            patch.setenv(name, value)
        settings = ("--config", folder / "small.yaml")
        url = f"s3://{store.bucket}"
        said = run("run", f"{url}/videos", "--root", f"{url}/run", *settings, folder=folder / "working")
    run("run", folder / "videos", "--root", folder / "local", *settings, folder=folder)
    return Finished(ids, said, fetch(store, "run", folder / "remote"), folder / "local", folder / "working")


def test_features_are_those_of_a_run_on_a_folder(finished: Finished) -> None:
    assert_accounted_with_motion(finished.remote, finished.ids)
    assert_equal_values(finished.remote, values(finished.local), finished.ids)


def assert_accounted_with_motion(root: Path, ids: list[str]) -> None:
    """Motion has commit marks of its own, so they are looked at apart."""
    marks = list((root / "features/status").glob("motion-*"))
    assert marks and sorted(pd.concat(map(pd.read_parquet, marks))["video_id"]) == sorted(ids)
    for mark in marks:
        mark.rename(root / f"features/{mark.name}")
    assert_accounted(root, ids)


@pytest.mark.parametrize("name", MODELS)
def test_models_are_those_of_a_run_on_a_folder(finished: Finished, name: str) -> None:
    file = f"models/{name}/model.safetensors"
    assert (finished.remote / file).read_bytes() == (finished.local / file).read_bytes()


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_a_run_on_a_folder(finished: Finished, name: str) -> None:
    found, wanted = (pd.read_parquet(root / f"tables/{name}.parquet") for root in (finished.remote, finished.local))
    measured = ["seconds_per_epoch"]  # a time
    pd.testing.assert_frame_equal(
        found.drop(columns=measured, errors="ignore"), wanted.drop(columns=measured, errors="ignore")
    )


def test_the_report_is_one_whole_page(finished: Finished) -> None:
    text = (finished.remote / "report/index.html").read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>") and "s3://" in finished.said


def test_everything_lies_in_the_bucket_and_nothing_where_the_command_was_typed(
    finished: Finished, store: Swift
) -> None:
    def keys(root: Path) -> set[str]:
        return {
            path.relative_to(root).as_posix().replace("features/motion-", "features/status/motion-")
            for path in root.rglob("*")
            if path.is_file()
        }

    assert keys(finished.remote) == keys(finished.local)
    assert not list(finished.working.iterdir())
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket=store.bucket)


@pytest.mark.usefixtures("environment")
def test_a_rerun_writes_nothing_and_a_verb_finds_what_run_left(
    finished: Finished, proxy: FaultProxy, store: Swift
) -> None:
    proxy.requests.clear()
    root = ("--root", f"s3://{store.bucket}/run")
    run("run", *root, folder=finished.working)
    assert len(proxy.requests) > 20
    assert {request.split()[0] for request in proxy.requests} <= {"GET", "HEAD"}
    said = run("predict", f"s3://{store.bucket}/videos/{finished.ids[0]}", *root, "--json", folder=finished.working)
    answer = json.loads(said.strip().splitlines()[-1])
    stored = pd.read_parquet(finished.local / "tables/predictions.parquet").set_index("video_id").loc[finished.ids[0]]
    assert [each["class"] for each in answer["top"]] == list(stored["classes"])
    assert [each["margin"] for each in answer["top"]] == list(stored["scores"])


@pytest.mark.usefixtures("environment")
def test_a_key_is_claimed_once(store: Swift) -> None:
    """One after another: of claims at the same moment Swift lets several pass, AWS one. See docs/faults.md."""
    target = open_store(f"s3://{store.bucket}/claim", Storage())
    assert target.put_new("key", b"first") and not target.put_new("key", b"second")
    assert target.read("key") == b"first"


NAMES = [
    "plain.avi",
    "with space.avi",
    "plus+.avi",
    "100%.avi",
    "a#b.avi",
    "what?.avi",
    "Київ.avi",
    "quote'\".avi",
    "a&b=c.avi",
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", NAMES)
def test_every_name_survives(store: Swift, name: str) -> None:
    target = open_store(f"s3://{store.bucket}/names", Storage())
    target.put(f"folder/{name}", name.encode())
    assert target.read(f"folder/{name}") == name.encode()
    assert target.exists(f"folder/{name}") and f"folder/{name}" in target.sizes("folder/")
    target.delete(f"folder/{name}")
    assert not target.exists(f"folder/{name}")


# What is wrong, in the environment or the URL, and what the sentence must name.
WRONG = {
    "key": ({"AWS_SECRET_ACCESS_KEY": "not-the-secret"}, "bucket", "check the credentials"),
    "user": ({"AWS_ACCESS_KEY_ID": "nobody"}, "bucket", "check the credentials"),
    "bucket": ({}, "no-such-bucket", "there is no bucket no-such-bucket"),
    "network": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "bucket", "does not answer"),
    "host": ({"AWS_ENDPOINT_URL": "http://no-such-host.invalid"}, "bucket", "does not answer"),
}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("verb", ["catalog", "extract", "predict"])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_one_sentence_soon(
    what: str, verb: str, store: Swift, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes, bucket, named = WRONG[what]
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    proxy.requests.clear()
    source = {"catalog": [f"s3://{bucket}/videos"], "predict": [f"s3://{bucket}/videos/a/000.avi"]}.get(verb, [])
    root = tmp_path / "root" if verb == "catalog" else f"s3://{bucket}/run"
    begun_s = time.monotonic()
    with Driver(*source, "--root", root, script=REPOSITORY / f"jobs/{verb}.py") as driver:
        code = driver.wait(60)
        said = driver.output().strip().splitlines()
    assert time.monotonic() - begun_s < 30
    assert code == (1 if what in ("network", "host") else 2), said
    assert len(said) == 1 and said[0].startswith("error: ") and named in said[0], said
    assert store.secret not in said[0] and "not-the-secret" not in said[0]
    assert len(proxy.requests) <= 8, proxy.requests


@pytest.mark.usefixtures("environment")
def test_a_wrong_region_is_put_right_by_the_servers_answer(
    store: Swift, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    proxy.requests.clear()
    target = open_store(f"s3://{store.bucket}", Storage())
    assert target.read("answers") == b"yes"
    target.put("region", b"1")
    assert "region" in target.sizes() and len(proxy.requests) <= 6
