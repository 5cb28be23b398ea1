"""Planted secrets are searched for in all that jobs print, log and store, whether the jobs succeed or fail."""

import base64
import gzip
import io
from pathlib import Path
from urllib.parse import quote

import boto3
import pyarrow.parquet as pq
import pytest

from tests.faults.drivers import REPOSITORY, Driver
from tests.tiny_roots import actionrec, clip, clip_name, tiny_file, weights

pytestmark = pytest.mark.timeout(600)

PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret=1f0c",
    "AWS_SESSION_TOKEN": "planted/session+token=2e1d",
    "RAY_AUTH_TOKEN": "3d" * 32,
    "HF_TOKEN": "planted/hub+token=4c3e",
    "ACTIONREC_PASSWORD": "planted/other+secret=5b4f",  # nothing of ours, but in the environment all the same
}
IDS = [clip_name(number) for number in range(4)]


def forms(secret: str) -> set[bytes]:
    """As it is, as in a URL, and in base64."""
    return {secret.encode(), quote(secret, safe="").encode(), base64.b64encode(secret.encode())}


def found_in(data: bytes) -> list[str]:
    """The names of the secrets that stand in some bytes, also if they are gzip or Parquet."""
    texts = [data]
    if data[:2] == b"\x1f\x8b":
        texts.append(gzip.decompress(data))
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        small = table.drop_columns([name for name in ("flow", "embedding") if name in table.column_names])
        texts.append(repr((table.schema.metadata, small.to_pylist())).encode())
    return [name for name, secret in PLANTED.items() if any(form in text for form in forms(secret) for text in texts)]


def leaks_below(folder: Path) -> dict[str, list[str]]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    leaks = {str(path.relative_to(folder)): found_in(path.read_bytes()) for path in files}
    return {name: found for name, found in leaks.items() if found}


@pytest.fixture
def bucket(s3_bucket: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with four clips and the weights, in an environment full of secrets."""
    endpoint, name = s3_bucket
    client = boto3.client("s3", endpoint_url=endpoint)
    for number, video_id in enumerate(IDS):
        client.put_object(Bucket=name, Key=f"secrets/videos/{video_id}", Body=clip(number))
    for path in Path(weights()[0], "weights").iterdir():
        client.upload_file(str(path), name, f"secrets/root/weights/{path.name}")
    for variable, secret in PLANTED.items():
        monkeypatch.setenv(variable, secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    return f"s3://{name}/secrets"


def test_the_search_would_find_one(tmp_path: Path) -> None:
    secret = PLANTED["AWS_SECRET_ACCESS_KEY"]
    (tmp_path / "plain.log").write_text(f"key {secret} end")
    (tmp_path / "url.log").write_text(f"?X={quote(secret, safe='')}")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(secret.encode()))
    (tmp_path / "encoded").write_bytes(base64.b64encode(secret.encode()))
    (tmp_path / "clean").write_text("nothing")
    assert set(leaks_below(tmp_path)) == {"plain.log", "url.log", "packed.gz", "encoded"}


def test_no_secret_in_what_jobs_print_log_and_store(bucket: str, s3_bucket: tuple[str, str], tmp_path: Path) -> None:
    """Jobs that succeed and that fail, all of them verbose, which prints and logs the most."""
    root = f"{bucket}/root"
    tiny = ("--config", tiny_file(tmp_path), "--set", "extract.actors=1")
    jobs = [
        ("catalog", 0, [f"{bucket}/videos", "--root", root, *tiny]),
        ("extract", 0, ["--root", root]),
        ("report", 0, ["--root", root]),
        ("predict", 2, [f"{bucket}/videos/{IDS[0]}", "--root", root]),
        ("extract", 2, ["--root", f"{bucket}/root", "--set", "frame.model=resnet18"]),
        ("extract", 2, ["--root", "s3://no-such-bucket/root"]),
        ("catalog", 1, [f"{bucket}/videos", "--root", "s3://b/r", "--set", "storage.endpoint_url=http://127.0.0.1:9"]),
    ]
    for job, code, arguments in jobs:
        with Driver(*arguments, "--verbose", script=REPOSITORY / f"jobs/{job}.py") as driver:
            assert driver.wait() == code, (job, driver.output())
            assert leaks_below(driver.folder) == {}, job  # what was printed, and all that Ray logged
            assert job != "extract" or code or list(driver.folder.rglob("raylet.out")), "Ray's logs lie elsewhere"
    client = boto3.client("s3", endpoint_url=s3_bucket[0])
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=s3_bucket[1], Prefix="secrets/root/")["Contents"]]
    stored = {
        key: client.get_object(Bucket=s3_bucket[1], Key=key)["Body"].read() for key in keys if "weights/" not in key
    }
    assert any("report/index.html" in key for key in stored) and any("features/status" in key for key in stored)
    assert {key: found for key, data in stored.items() if (found := found_in(data))} == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ["extract", "--root", "s3://key:SECRET@bucket/root"],
        ["extract", "--root", "s3://bucket/root?X-Amz-Signature=SECRET"],
        ["catalog", "s3://key:SECRET@bucket/videos", "--root", "ROOT"],
        ["catalog", "s3://bucket/videos?X-Amz-Security-Token=SECRET", "--root", "ROOT"],
        ["catalog", "VIDEOS", "--root", "s3://bucket/root", "--set", "storage.endpoint_url=http://key:SECRET@host"],
        ["predict", "https://host/clip.mp4?X-Amz-Signature=SECRET", "--root", "ROOT"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_url_with_a_secret_is_refused_without_repeating_it(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "planted-in-the-url"
    root, videos = str(tmp_path / "root"), tmp_path / "videos"
    videos.mkdir()
    (videos / "a.avi").write_bytes(clip(0))
    given = [text.replace("SECRET", secret).replace("ROOT", root).replace("VIDEOS", str(videos)) for text in arguments]
    assert actionrec(*given, "--verbose") == 2
    said = capfd.readouterr()
    assert "error: " in said.err and secret not in said.out + said.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
