"""The cache of published files: every test serves its files from a folder, none touches a network."""

import hashlib
import json
import pickle
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrec import patience
from actionrec.errors import InputError
from actionrec.weights import published
from actionrec.weights.published import PublishedFile, cache_path, hub_source, load_plain, obtain, state, url_source
from tests.faults.s3_fault_proxy import FaultProxy, Rule


class Canary:
    """Unpickled, it touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACTIONREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def publish(folder: Path, content: bytes, digest: str | None = None, suffix: str = "pth") -> PublishedFile:
    """A file served over file://, under a name that states `digest`, by default its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"net-{(digest or hashlib.sha256(content).hexdigest())[:8]}.{suffix}"
    path.write_bytes(content)
    return url_source("audio", path.as_uri())


def no_fetch(url: str, path: Path) -> None:
    raise AssertionError(f"{url} was asked for")


def test_a_file_is_downloaded_once_and_its_whole_hash_recorded(tmp_path: Path, cache: Path) -> None:
    source = publish(tmp_path / "site", b"tensors")
    path = obtain(source)
    assert path.read_bytes() == b"tensors"
    record = json.loads((cache / f"{path.name}.json").read_text())
    assert record["sha256"] == hashlib.sha256(b"tensors").hexdigest()
    assert obtain(source, no_fetch) == path
    assert sorted(entry.name for entry in cache.iterdir()) == [path.name, f"{path.name}.json"]


def test_a_download_that_is_not_what_its_name_states_is_removed(tmp_path: Path, cache: Path) -> None:
    source = publish(tmp_path / "site", b"evil", digest=hashlib.sha256(b"good").hexdigest())
    with pytest.raises(InputError, match=f"{source.file_name}.*sha256"):
        obtain(source)
    assert list(cache.iterdir()) == []


def test_a_truncated_download_is_removed(tmp_path: Path, cache: Path) -> None:
    source = publish(tmp_path / "site", b"x" * 1000)

    def truncated(url: str, path: Path) -> None:
        path.write_bytes(b"x" * 999)

    with pytest.raises(InputError, match=source.file_name):
        obtain(source, truncated)
    assert list(cache.iterdir()) == []


def test_a_tampered_file_is_removed_and_named_and_the_next_run_fetches_it_again(tmp_path: Path) -> None:
    source = publish(tmp_path / "site", b"tensors")
    path = obtain(source)
    path.write_bytes(b"tensorz")
    with pytest.raises(InputError, match=str(path)):
        obtain(source, no_fetch)
    assert not path.exists()
    assert obtain(source).read_bytes() == b"tensors"


def test_the_whole_recorded_hash_is_enforced_not_only_the_publishers_digits(tmp_path: Path) -> None:
    source = PublishedFile("frame", "model.safetensors", "https://invalid.invalid/model.safetensors", None)
    cache_path(source).parent.mkdir()
    cache_path(source).write_bytes(b"put here by hand")
    assert obtain(source, no_fetch).read_bytes() == b"put here by hand"
    cache_path(source).write_bytes(b"replaced later")
    with pytest.raises(InputError, match=r"model\.safetensors.*removed"):
        obtain(source, no_fetch)


def test_a_file_put_there_by_hand_is_held_to_the_publishers_hash(tmp_path: Path) -> None:
    source = publish(tmp_path / "site", b"tensors")
    cache_path(source).parent.mkdir()
    cache_path(source).write_bytes(b"others")
    with pytest.raises(InputError, match=source.file_name):
        obtain(source, no_fetch)
    assert not cache_path(source).exists()


def test_without_a_network_one_sentence_says_where_to_put_the_file_and_what_else_to_do() -> None:
    source = url_source("audio", "http://127.0.0.1:9/vggish-10086976.pth")  # the discard port: refused at once
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        obtain(source)
    assert time.monotonic() - began < 30
    message = str(caught.value)
    assert "vggish-10086976.pth" in message
    assert str(cache_path(source)) in message
    assert "--set audio.weights=random" in message
    assert "\n" not in message


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which tries were followed by a pause. Nobody waits."""
    after: list[int] = []
    monkeypatch.setattr(patience, "pause_s", lambda tried: after.append(tried) or 0.0)
    return after


@pytest.fixture
def site(s3_bucket: tuple[str, str], tmp_path: Path) -> Iterator[tuple[FaultProxy, PublishedFile]]:
    """A published file behind a site that can err."""
    import boto3

    endpoint, bucket = s3_bucket
    content = b"x" * 100_000
    source = publish(tmp_path / "site", content)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.put_object(Bucket=bucket, Key=source.file_name, Body=content, ACL="public-read")
    with FaultProxy(endpoint) as proxy:
        yield proxy, url_source("audio", f"{proxy.url}/{bucket}/{source.file_name}")


SITE_ERRORS = ["503:html", "500:empty", "502:html", "504:empty", "429:empty", "408:empty", "reset", "drop", "cut"]


def test_a_site_whose_errors_pass_is_asked_again(site: tuple[FaultProxy, PublishedFile], pauses: list[int]) -> None:
    proxy, source = site
    for kind in SITE_ERRORS:
        pauses.clear()
        rule = proxy.breaks(kind, "GET", 2)
        assert obtain(source).read_bytes() == b"x" * 100_000, kind
        assert len(rule.hits) == 2 and pauses == [1, 2], kind
        cache_path(source).unlink()


def test_a_site_whose_errors_do_not_pass_ends_in_a_sentence(
    site: tuple[FaultProxy, PublishedFile], pauses: list[int], cache: Path
) -> None:
    proxy, source = site

    def refused(kind: str) -> Rule:
        proxy.rules.clear()
        rule = proxy.breaks(kind, "GET", -1)
        with pytest.raises(InputError, match=source.file_name):
            obtain(source)
        assert list(cache.iterdir()) == []
        return rule

    for kind in SITE_ERRORS:
        assert len(refused(kind).hits) == patience.TRIES, kind
    pauses.clear()
    for kind in ("404:NoSuchKey", "403:AccessDenied", "410:empty", "501:empty"):
        assert len(refused(kind).hits) == 1 and not pauses, kind


def test_where_there_is_no_network_nothing_is_waited_for(pauses: list[int]) -> None:
    for address in ("http://127.0.0.1:9", "http://no-such-host.invalid"):
        with pytest.raises(InputError, match="cannot be downloaded"):
            obtain(url_source("audio", f"{address}/vggish-10086976.pth"))
    assert not pauses


def test_doctor_calls_a_site_that_errs_once_reachable(
    site: tuple[FaultProxy, PublishedFile], pauses: list[int]
) -> None:
    proxy, source = site
    proxy.breaks("503:empty", "HEAD", 1)
    assert state(source) == "reachable" and pauses == [1]


def test_the_hubs_metadata_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, site: tuple[FaultProxy, PublishedFile], pauses: list[int]
) -> None:
    """The hub's own client answers a 503 with an error at the first try."""
    from huggingface_hub import get_hf_file_metadata

    proxy, source = site
    rule = proxy.breaks("503:html", "HEAD", 2)
    metadata = patience.patiently(lambda: get_hf_file_metadata(source.url))
    assert metadata.size == 100_000 and len(rule.hits) == 2 and pauses == [1, 2]
    proxy.breaks("drop", "HEAD", 1)
    with pytest.raises(OSError, match="no sha256"):
        published._hub_sha256(source.url)
    assert pauses == [1, 2, 1]


def test_the_hub_is_believed_only_if_it_states_a_sha256(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    class Metadata:
        etag = hashlib.sha256(b"tensors").hexdigest()

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: Metadata)
    source = hub_source("frame", "timm/some_net.in1k")
    assert source.url.endswith("/timm/some_net.in1k/resolve/main/model.safetensors")
    obtain(source, lambda _, path: void(path.write_bytes(b"tensors")))
    cache_path(source).unlink()
    with pytest.raises(InputError, match="damaged"):
        obtain(source, lambda _, path: void(path.write_bytes(b"other")))
    Metadata.etag = "0123abcd"  # what small files have
    with pytest.raises(InputError, match="no sha256"):
        obtain(source, no_fetch)


def void(_: object) -> None: ...


def test_pickles_on_the_hub_are_passed_over_for_their_safetensors_twin() -> None:
    assert hub_source("frame", "a/b", "open_clip_pytorch_model.bin").url.endswith("/open_clip_model.safetensors")
    with pytest.raises(InputError, match=r"frame\.weights.*safetensors"):
        hub_source("frame", "a/b", "weights.npz")


def test_a_url_without_a_hash_in_its_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"flow\.weights.*net\.ckpt.*hash"):
        url_source("flow", "https://example.org/net.ckpt")


@pytest.mark.parametrize("suffix", ["pth", "ckpt", "pt", "pkl"])
@pytest.mark.parametrize("writer", [pickle.dumps, "torch"])
def test_a_malicious_checkpoint_never_runs_even_with_the_right_hash(
    tmp_path: Path, suffix: str, writer: object
) -> None:
    canary = tmp_path / "canary"
    if writer == "torch":
        torch.save({"state_dict": Canary(canary)}, tmp_path / "evil")
        content = (tmp_path / "evil").read_bytes()
    else:
        content = pickle.dumps({"state_dict": Canary(canary)})
    path = obtain(publish(tmp_path / "site", content, suffix=suffix))
    with pytest.raises(InputError, match=f"{path.name}.*plain tensors"):
        load_plain(path)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()  # the trap does work


def test_a_malicious_object_array_never_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"pca_means": np.array([Canary(canary)], dtype=object)}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="plain tensors"):
        load_plain(tmp_path / "evil.pth")
    assert not canary.exists()


def test_tensors_and_numbers_of_numpy_are_read(tmp_path: Path) -> None:
    content = {"tensor": torch.arange(3), "pca_means": np.arange(3.0, dtype=np.float32), "pca": np.eye(2)}
    torch.save(content, tmp_path / "new.pth")
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    written = (tmp_path / "old.pth").read_bytes()
    assert b"numpy._core.multiarray" in written
    (tmp_path / "old.pth").write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    for path in (tmp_path / "new.pth", tmp_path / "old.pth"):  # as written today, and by numpy 1 with torch 1.4
        loaded = load_plain(path)
        assert torch.equal(loaded["tensor"], torch.arange(3))
        np.testing.assert_array_equal(loaded["pca_means"], np.arange(3.0))
        np.testing.assert_array_equal(loaded["pca"], np.eye(2))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01.", b"PK\x03\x04 half a zip"])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pth"):
        load_plain(tmp_path / "a.pth")


def test_state_tells_cached_reachable_and_missing_apart_and_downloads_nothing(tmp_path: Path, cache: Path) -> None:
    source = publish(tmp_path / "site", b"tensors")
    assert state(source) == "reachable"
    assert not cache.exists()
    obtain(source)
    assert state(source) == "cached"
    assert state(url_source("flow", "http://127.0.0.1:9/net-12345678.ckpt")) == "missing"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    source = publish(tmp_path / "site", b"tensors")
    record = Path(f"{obtain(source)}.json")
    record.write_text("{")
    with pytest.raises(InputError, match=record.name):
        obtain(source)


def test_a_cache_that_cannot_be_made_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACTIONREC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="ACTIONREC_CACHE"):
        obtain(publish(tmp_path / "site", b"tensors"))


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTIONREC_CACHE")
    monkeypatch.setenv("HOME", "/somewhere")
    assert cache_path(PublishedFile("audio", "a.pth", "", "")) == Path("/somewhere/.cache/actionrec/weights/a.pth")


def test_a_download_killed_half_way_leaves_no_final_file(tmp_path: Path, cache: Path) -> None:
    source = publish(tmp_path / "site", b"x" * 1000)

    def dies(url: str, path: Path) -> None:
        path.write_bytes(b"x" * 500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(source, dies)
    assert not cache_path(source).exists()
    shutil.rmtree(cache)
    assert published.obtain(source).read_bytes() == b"x" * 1000
