"""A real S3 server loses its object server in the middle of an extract, and gets it back."""

import time
from pathlib import Path

import pytest

from tests.faults.conftest import Calm
from tests.faults.drivers import REPOSITORY, Driver
from tests.integration.test_object_storage import fetch
from tests.swift import Swift, swift
from tests.tiny_roots import assert_accounted, assert_equal_values, clip, clip_name, tiny_file, weights

pytestmark = pytest.mark.timeout(600)
NUMBERS = range(12)
DOWN_S = 3.0
IDS = [clip_name(number) for number in NUMBERS]


def marks(store: Swift) -> int:
    """Parts whose last stream is committed so far, asked of the servers that are still there."""
    listed = store.client().list_objects_v2(Bucket=store.bucket, Prefix="root/features/status/audio-")
    return int(listed["KeyCount"])


def test_a_killed_store_costs_time_only(calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some ten seconds are bridged; after more the run ends with a sentence, and another one goes on."""
    with swift() as store:
        client = store.client()
        for number, video_id in zip(NUMBERS, IDS, strict=True):
            client.put_object(Bucket=store.bucket, Key=f"videos/{video_id}", Body=clip(number))
        for path in Path(weights()[0], "weights").iterdir():
            client.upload_file(str(path), store.bucket, f"root/weights/{path.name}")
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        root = ("--root", f"s3://{store.bucket}/root")
        tiny = ("--config", tiny_file(tmp_path), "--set", "extract.part_videos=1", "--set", "extract.actors=1")
        with Driver(f"s3://{store.bucket}/videos", *root, *tiny, script=REPOSITORY / "jobs/catalog.py") as driver:
            assert driver.wait() == 0, driver.output()
        with Driver(*root) as driver:
            driver.wait_until(lambda: marks(store) >= 2)
            store.kill("object")
            time.sleep(DOWN_S)
            store.start("object")
            store.wait_until_it_answers()
            code, said = driver.wait(), driver.output()
            assert not driver.orphans()
        assert "Traceback" not in said
        if code:
            assert code == 1 and said.strip().splitlines()[-1].startswith("error: ")
            with Driver(*root) as driver:
                assert driver.wait() == 0, driver.output()
        found = fetch(store, "root", tmp_path / "fetched")
    assert_accounted(found, IDS)
    assert_equal_values(found, calm.values, IDS)
