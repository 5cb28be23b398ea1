"""A bucket whose server fails midway: the run recovers, or ends soon and says where; it never stores a wrong value."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from tests.faults.conftest import Calm
from tests.faults.s3_fault_proxy import FaultProxy
from tests.tiny_roots import (
    STREAMS,
    actionrec,
    assert_accounted,
    assert_equal_values,
    clip,
    clip_name,
    outcomes,
    tiny_file,
    weights,
)

pytestmark = pytest.mark.timeout(600)
NUMBERS = range(6)
IDS = [clip_name(number) for number in NUMBERS]
BY_PART = sorted(IDS)  # in parts of one


class Bucket(NamedTuple):
    """A source and a root of its own in the bucket, behind a proxy that can break."""

    client: Any
    name: str
    prefix: str
    proxy: FaultProxy

    def extract(self, *more: object) -> int:
        url = f"s3://{self.name}/{self.prefix}"
        endpoint = ("--set", f"storage.endpoint_url={self.proxy.url}", "--set", "extract.actors=1")
        return actionrec("extract", "--root", f"{url}/root", *endpoint, *more)

    def marks(self) -> set[str]:
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=f"{self.prefix}/root/features/status/")
        return {item["Key"] for item in found.get("Contents", ())}

    def fetch(self, folder: Path) -> Path:
        """The root's features as local files."""
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=f"{self.prefix}/root/features/")
        for key in (item["Key"] for item in found["Contents"]):
            path = folder / key.removeprefix(f"{self.prefix}/root/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())
        return folder


@pytest.fixture
def make_bucket(s3_bucket: tuple[str, str], ray_session: None, tmp_path: Path) -> Iterator[Callable[[str], Bucket]]:
    endpoint, name = s3_bucket
    client = boto3.client("s3", endpoint_url=endpoint)
    with FaultProxy(endpoint) as proxy:

        def make(prefix: str) -> Bucket:
            for number in NUMBERS:
                key = f"{prefix}/videos/{clip_name(number)}"
                client.put_object(Bucket=name, Key=key, Body=clip(number), ChecksumAlgorithm="CRC32")
            for path in Path(weights()[0], "weights").iterdir():
                client.upload_file(str(path), name, f"{prefix}/root/weights/{path.name}")
            url = f"s3://{name}/{prefix}"
            given = ("--set", f"storage.endpoint_url={proxy.url}", "--set", "extract.part_videos=1")
            root = ("--root", f"{url}/root", "--config", tiny_file(tmp_path))
            assert actionrec("catalog", f"{url}/videos", *root, *given) == 0
            return Bucket(client, name, prefix, proxy)

        yield make


def assert_whole(root: Path, calm: Calm) -> None:
    """Every video is there once, with the values of a calm run."""
    assert_accounted(root, IDS)
    assert_equal_values(root, calm.values, IDS)


def test_errors_that_pass_are_not_noticed(make_bucket: Callable[[str], Bucket], calm: Calm, tmp_path: Path) -> None:
    bucket = make_bucket("pass")
    rules = [
        bucket.proxy.breaks(kind, pattern, times)
        for kind, pattern, times in (
            ("503", r"GET .*/videos/a/000", 2),
            ("reset", r"GET .*/videos/a/002", 1),
            ("cut", r"GET .*/videos/a/004", 1),
            ("503:html", r"GET .*/videos/b/001", 2),
            ("429:TooManyRequests", r"GET .*/videos/b/003", 2),
            ("503", r"GET .*\.safetensors", 1),
            ("500:InternalError", r"HEAD .*\.safetensors", 1),
            ("cut", r"GET .*prefix=.*status", 1),
            ("200:empty", r"GET .*prefix=.*status", 1),
            ("502:empty", r"GET .*prefix=.*status", 1),
            ("409:ConditionalRequestConflict", r"PUT .*/plan/", 1),
            ("503:ServiceUnavailable", r"PUT .*/spatial/part-000000", 1),
            ("400:RequestTimeout", r"PUT .*/spatial/part-000001", 1),
            ("reset", r"PUT .*/flow/part-000001", 1),
            ("lost", r"PUT .*/audio/part-000002", 1),
            ("lost", r"PUT .*/plan/", 1),
            ("lost", r"PUT .*/stages/spatial.json", 1),
            ("503", r"PUT .*/status/audio-000003", 2),
        )
    ]
    assert bucket.extract() == 0
    assert [rule.pattern for rule in rules if not rule.hits] == []
    assert_whole(bucket.fetch(tmp_path / "fetched"), calm)


def test_a_store_that_refuses_for_ever_ends_the_run_and_keeps_what_is_committed(
    make_bucket: Callable[[str], Bucket], calm: Calm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = make_bucket("refuse")
    bucket.proxy.breaks("503:html", r"PUT .*/audio/part-000003", -1)
    begun_s = time.monotonic()
    assert bucket.extract() == 1
    assert time.monotonic() - begun_s < 180
    text = capsys.readouterr().err
    last = text.strip().splitlines()[-1]
    assert last.startswith("error: ") and "features/audio/part-000003.parquet" in last and "Traceback" not in text
    kept = bucket.marks()
    assert 0 < len(kept) < len(IDS) * len(STREAMS)
    assert not any(key.endswith("audio-000003.parquet") for key in kept)
    bucket.proxy.rules.clear()
    assert bucket.extract() == 0
    assert kept < bucket.marks()
    assert_whole(bucket.fetch(tmp_path / "fetched"), calm)


def test_damaged_transfers_never_become_embeddings(
    make_bucket: Callable[[str], Bucket], calm: Calm, tmp_path: Path
) -> None:
    bucket = make_bucket("damage")
    always_flipped, always_short, once_flipped = BY_PART[0], BY_PART[1], BY_PART[3]
    bucket.proxy.breaks("flip", f"GET .*/videos/{always_flipped}", -1)
    bucket.proxy.breaks("short", f"GET .*/videos/{always_short}", -1)
    once = bucket.proxy.breaks("flip", f"GET .*/videos/{once_flipped}", 1)
    assert bucket.extract("--set", "extract.max_failed=0.5") == 0
    assert once.hits
    found = outcomes(bucket.fetch(tmp_path / "fetched"))
    bad = {name for name, states in found.items() if states["spatial"] == "integrity"}
    assert bad == {always_flipped, always_short}
    assert_accounted(tmp_path / "fetched", IDS)
    assert_equal_values(tmp_path / "fetched", calm.values, [name for name in IDS if name not in bad])
    bucket.proxy.rules.clear()
    assert bucket.extract("--retry-failed") == 0
    assert_whole(bucket.fetch(tmp_path / "again"), calm)


def test_refused_credentials_end_the_run_at_once_without_naming_a_secret(
    make_bucket: Callable[[str], Bucket], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = make_bucket("denied")
    bucket.proxy.breaks("403", r".*", -1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    begun_s = time.monotonic()
    assert bucket.extract() == 2
    assert time.monotonic() - begun_s < 20
    text = capsys.readouterr().err
    assert "access is refused" in text.strip().splitlines()[-1] and "canary-secret" not in text


def test_a_slow_store_and_one_that_hangs_once_cost_time_only(
    make_bucket: Callable[[str], Bucket], calm: Calm, tmp_path: Path
) -> None:
    bucket = make_bucket("slow")
    slow = bucket.proxy.breaks("slow", r"GET .*/videos/a/00", -1)
    hangs = bucket.proxy.breaks("hang", r"GET .*/videos/b/001", 1)
    assert bucket.extract() == 0
    assert len(slow.hits) == 3 and hangs.hits
    assert_whole(bucket.fetch(tmp_path / "fetched"), calm)


def test_a_listing_that_is_behind_costs_work_done_again_at_worst(
    make_bucket: Callable[[str], Bucket], calm: Calm, tmp_path: Path
) -> None:
    bucket = make_bucket("stale")
    stale = bucket.proxy.breaks("stale", r"GET .*prefix=.*status", -1)
    assert bucket.extract() == 1  # the last part is not seen: an honest run does not call itself finished
    assert len(stale.hits) >= 2
    bucket.proxy.rules.clear()
    assert bucket.extract() == 0
    assert_whole(bucket.fetch(tmp_path / "fetched"), calm)


def test_nothing_half_is_left_where_puts_fail(make_bucket: Callable[[str], Bucket], tmp_path: Path) -> None:
    bucket = make_bucket("half")
    bucket.proxy.breaks("reset", r"PUT .*/flow/part-000002", -1)
    assert bucket.extract() == 1
    keys = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="half/root/features/flow/")["Contents"]
    assert not any("000002" in item["Key"] for item in keys)
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)
