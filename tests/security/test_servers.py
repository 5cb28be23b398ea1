"""A root that was made by somebody else talks this person into no server, and into no download from elsewhere."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml

from actionrec.config import load
from actionrec.errors import InputError
from actionrec.weights import recipes
from tests.tiny_roots import TINY, actionrec, clip, clip_name


class Listener:
    """A server that only counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    listening = Listener()
    yield listening
    listening.close()


def received_root(folder: Path, server: str, source: str) -> Path:
    root = folder / "root"
    root.mkdir()
    settings = {**TINY, "storage": {"endpoint_url": server}, "data": {"source": source}}
    (root / "config.yaml").write_text(yaml.safe_dump(settings))
    return root


VERBS = [["catalog"], ["extract"], ["train", "rnn"], ["report"], ["plan"], ["run"], ["predict", "s3://bucket/clip.avi"]]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_root_does_not_choose_who_is_shown_credentials(
    verb: list[str], listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = received_root(tmp_path, listener.url, "s3://bucket/videos")
    assert actionrec(*verb, "--root", root) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and listener.url in said and "AWS_ENDPOINT_URL" in said
    assert listener.visits == 0


def test_a_person_who_names_a_server_talks_to_that_one_alone(
    listener: Listener,
    tmp_path: Path,
    s3_bucket: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint, bucket = s3_bucket
    client = boto3.client("s3", endpoint_url=endpoint)
    for number in (0, 1):
        client.put_object(Bucket=bucket, Key=f"servers/{clip_name(number)}", Body=clip(number))
    root = received_root(tmp_path, listener.url, f"s3://{bucket}/servers")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert actionrec("catalog", "--root", root) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert listener.url in said and f"this run talks to '{endpoint}'" in said
    assert (root / "catalog.parquet").exists() and listener.visits == 0


ELSEWHERE = ["http://HOST/x", "https://HOST/x", "ftp://HOST/x", "s3://HOST/x", "s3://x@HOST/x", "s3://bucket@HOST/x"]
ELSEWHERE += ["s3a://HOST/x", "gs://x@HOST/x", "abfs://x@HOST/x", "memory://HOST/x", "//HOST/x", "s3:///HOST/x"]


@pytest.mark.parametrize("source", ELSEWHERE)
@pytest.mark.parametrize("given", [True, False])
def test_a_source_leads_to_no_other_server(
    source: str,
    given: bool,
    listener: Listener,
    tmp_path: Path,
    s3_bucket: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = received_root(tmp_path, s3_bucket[0], source.replace("HOST", listener.url.removeprefix("http://")))
    if given:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_bucket[0])
    assert actionrec("catalog", "--root", root) in (1, 2)
    assert capsys.readouterr().err.startswith("error: ")
    assert listener.visits == 0


def test_the_listener_would_have_noticed(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", int(listener.url.rpartition(":")[2]))) as visitor:
        assert visitor.recv(1) == b""  # served and closed
    assert listener.visits == 1


FRAMES = ["hf-hub:evil/net", "hf_hub:evil/net", "local-dir:/tmp", "evil/net", "resnet18.evil/net", "resnet18:evil"]
FLOWS = ["hf-hub:evil/net", "/tmp/net.ckpt", "http://127.0.0.1/net.ckpt"]
NAMED = [("frame", {"model": name, "weights": weights}) for name in FRAMES for weights in ("pretrained", "random")]
NAMED += [("flow", {"model": name, "weights": weights}) for name in FLOWS for weights in ("pretrained", "random")]
NAMED += [("flow", {"checkpoint": name}) for name in FLOWS]


@pytest.mark.parametrize(("section", "named"), NAMED, ids=str)
def test_no_name_of_a_network_is_a_place_to_load_it_from(
    section: str, named: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks go by the names that the installed libraries publish them under, so a root can name no other place."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    config = load([{section: named}])
    with pytest.raises(InputError, match=rf"{section}\.{next(iter(named))}"):
        getattr(recipes, section)(config).make()
