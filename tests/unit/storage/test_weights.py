"""Weights under a root: made once, recorded, verified at every load. Small networks, no network access."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from actionrec.config import Audio, Config, Flow, Frame
from actionrec.errors import InputError
from actionrec.features import frame_cnn
from actionrec.features.flow import load_ptlflow
from actionrec.features.frame_cnn import build_frame_cnn
from actionrec.features.vggish import pca_of
from actionrec.storage.local_store import LocalStore
from actionrec.storage.streams import STREAMS
from actionrec.storage.weights import Availability, WeightsRef, load, prepare, survey
from actionrec.weights import recipes
from actionrec.weights.published import PublishedFile, cache_path, url_source

RANDOM = Config(
    flow=Flow(model="dis"),
    frame=Frame(model="test_resnet", weights="random", size=96),
    audio=Audio(weights="random", pca=False),
)
FRAME_KEY = "weights/frame-test_resnet-random-seed0-96px.safetensors"

EXTRACTED = tuple(name for name, row in STREAMS.items() if row.decoded)


class CountingStore(LocalStore):
    """Remembers what was written."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.written: list[str] = []

    def put(self, key: str, data: bytes) -> None:
        self.written.append(key)
        super().put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        self.written.append(key)
        return super().put_new(key, data)


class TinyVGGish(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 128)


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, few calibration images, and a VGGish without its 288 MB."""
    monkeypatch.setenv("ACTIONREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(frame_cnn, "CALIBRATION_IMAGES", 4)
    monkeypatch.setattr(recipes, "build_vggish", TinyVGGish)
    monkeypatch.setattr(recipes, "random_vggish", lambda seed: TinyVGGish())


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(str(tmp_path / "root"))


def put_into_cache(source: PublishedFile, content: bytes) -> None:
    cache_path(source).parent.mkdir(parents=True, exist_ok=True)
    cache_path(source).write_bytes(content)


def test_prepare_then_load_fills_an_equal_network(store: CountingStore) -> None:
    refs = prepare(RANDOM, store, EXTRACTED)
    assert sorted(refs) == ["audio", "spatial"]
    assert refs["spatial"].key == FRAME_KEY
    assert refs["spatial"].kind == "random"
    assert "seed 0" in refs["spatial"].description
    assert hashlib.sha256(store.read(FRAME_KEY)).hexdigest() == refs["spatial"].sha256
    network = build_frame_cnn("test_resnet")
    assert load(network, refs["spatial"], store) == {}
    expected = frame_cnn.random_frame_cnn("test_resnet", size=96, seed=0).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_a_second_prepare_computes_and_writes_nothing(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(RANDOM, store, EXTRACTED)
    store.written.clear()
    monkeypatch.setattr(recipes, "random_frame_cnn", lambda *_, **__: pytest.fail("computed again"))
    assert prepare(RANDOM, store, EXTRACTED) == first
    assert store.written == []


def test_seed_size_and_model_each_have_their_own_file(store: CountingStore) -> None:
    variants = [
        RANDOM,
        dataclasses.replace(RANDOM, seed=1),
        dataclasses.replace(RANDOM, frame=dataclasses.replace(RANDOM.frame, size=64)),
        dataclasses.replace(RANDOM, frame=dataclasses.replace(RANDOM.frame, model="test_efficientnet")),
    ]
    refs = [prepare(config, store, ["spatial"])["spatial"] for config in variants]
    assert len({ref.key for ref in refs}) == len({ref.sha256 for ref in refs}) == len(variants)


def test_one_flipped_bit_is_refused_and_the_file_made_anew_by_the_next_run(store: CountingStore) -> None:
    ref = prepare(RANDOM, store, EXTRACTED)["spatial"]
    good = store.read(FRAME_KEY)
    store.put(FRAME_KEY, good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(InputError, match=f"{FRAME_KEY}.*sha256"):
        load(build_frame_cnn("test_resnet"), ref, store)
    assert not store.exists(FRAME_KEY)
    with pytest.raises(InputError, match=f"{FRAME_KEY}.*missing"):
        load(build_frame_cnn("test_resnet"), ref, store)
    assert prepare(RANDOM, store, EXTRACTED)["spatial"] == ref
    assert store.read(FRAME_KEY) == good


def test_a_transfer_damaged_once_is_read_again_and_removes_nothing(store: CountingStore) -> None:
    ref = prepare(RANDOM, store, EXTRACTED)["spatial"]

    class Flaky(LocalStore):
        reads = 0

        def read(self, key: str) -> bytes:
            self.reads += 1
            return super().read(key)[: -1 if self.reads == 1 else None]

    load(build_frame_cnn("test_resnet"), ref, Flaky(store.url))
    assert store.exists(FRAME_KEY)


def test_lost_weights_that_cannot_be_made_again_as_they_were_are_refused(store: CountingStore) -> None:
    prepare(RANDOM, store, EXTRACTED)
    store.delete(FRAME_KEY)
    record = FRAME_KEY.replace(".safetensors", ".json")
    store.put(record, json.dumps(json.loads(store.read(record)) | {"sha256": "0" * 64}).encode())
    with pytest.raises(InputError, match="--replace extract"):
        prepare(RANDOM, store, EXTRACTED)
    assert not store.exists(FRAME_KEY)


def test_a_driver_killed_before_the_record_or_beaten_by_another_adopts_what_is_there(store: CountingStore) -> None:
    other = safetensors.torch.save(frame_cnn.random_frame_cnn("test_resnet", size=96, seed=9).state_dict())
    store.put(FRAME_KEY, other)
    ref = prepare(RANDOM, store, EXTRACTED)["spatial"]
    assert ref.sha256 == hashlib.sha256(other).hexdigest()
    assert store.read(FRAME_KEY) == other
    load(build_frame_cnn("test_resnet"), ref, store)


def test_weights_of_another_network_are_refused_by_name(store: CountingStore) -> None:
    ref = prepare(RANDOM, store, EXTRACTED)["spatial"]
    with pytest.raises(InputError, match=f"{FRAME_KEY}.*another network"):
        load(build_frame_cnn("test_vit"), ref, store)


def test_a_file_under_the_root_that_is_no_safetensors_is_never_unpickled(store: CountingStore) -> None:
    data = b"\x80\x04 a pickle"
    store.put("weights/x.safetensors", data)
    ref = WeightsRef("x", "weights/x.safetensors", hashlib.sha256(data).hexdigest(), "random", "")
    with pytest.raises(InputError, match=r"weights/x\.safetensors.*not a file of tensors"):
        load(build_frame_cnn("test_resnet"), ref, store)


def test_a_damaged_record_is_named(store: CountingStore) -> None:
    prepare(RANDOM, store, EXTRACTED)
    store.put(FRAME_KEY.replace(".safetensors", ".json"), b"{")
    with pytest.raises(InputError, match=r"frame-test_resnet-random-seed0-96px\.json"):
        prepare(RANDOM, store, EXTRACTED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"audio": Audio(weights="random", pca=True)}, r"audio\.pca.*audio\.weights"),
        ({"frame": Frame(model="no_such_net", weights="random")}, r"frame\.model.*no_such_net"),
        ({"frame": Frame(model="../../escape", weights="random")}, r"frame\.model.*escape"),
        ({"frame": Frame(model="test_vit", weights="random", size=100)}, r"frame\.size"),
    ],
)
def test_bad_settings_name_their_keys(store: CountingStore, change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        prepare(dataclasses.replace(RANDOM, **change), store, EXTRACTED)


def test_pretrained_frame_weights_come_from_the_hubs_safetensors(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    published = timm.create_model("test_resnet", pretrained=False).state_dict()  # with its classifier
    put_into_cache(recipes._frame_source("test_resnet"), safetensors.torch.save(published))
    config = dataclasses.replace(RANDOM, frame=Frame(model="test_resnet", weights="pretrained", size=96))
    assert survey(config) == [Availability("frame", "timm--test_resnet.r160_in1k.safetensors", "cached")]
    ref = prepare(config, store, EXTRACTED)["spatial"]
    assert (ref.key, ref.kind) == ("weights/frame-test_resnet-pretrained.safetensors", "pretrained")
    network = build_frame_cnn("test_resnet")
    load(network, ref, store)
    assert all(torch.equal(tensor, published[name]) for name, tensor in network.state_dict().items())
    monkeypatch.setattr(recipes, "obtain", lambda source: pytest.fail("a finished root needs no cache"))
    assert prepare(config, store, EXTRACTED)["spatial"] == ref


def test_an_unrecorded_file_never_passes_for_published_weights(store: CountingStore) -> None:
    published = timm.create_model("test_resnet", pretrained=False).state_dict()
    put_into_cache(recipes._frame_source("test_resnet"), safetensors.torch.save(published))
    config = dataclasses.replace(RANDOM, frame=Frame(model="test_resnet", weights="pretrained", size=96))
    store.put("weights/frame-test_resnet-pretrained.safetensors", b"somebody else's")
    network = build_frame_cnn("test_resnet")
    load(network, prepare(config, store, EXTRACTED)["spatial"], store)
    assert torch.equal(network.state_dict()["conv1.0.weight"], published["conv1.0.weight"])


@pytest.mark.parametrize("lacks", ["layer1.0.conv1.weight", "everything"])
def test_a_file_that_lacks_tensors_is_refused_not_filled_up_at_random(store: CountingStore, lacks: str) -> None:
    published = timm.create_model("test_resnet", pretrained=False).state_dict()
    kept = {name: tensor for name, tensor in published.items() if lacks not in (name, "everything")}
    source = recipes._frame_source("test_resnet")
    put_into_cache(source, safetensors.torch.save(kept or {"other": torch.zeros(1)}))
    config = dataclasses.replace(RANDOM, frame=Frame(model="test_resnet", weights="pretrained", size=96))
    with pytest.raises(InputError, match=source.file_name):
        prepare(config, store, EXTRACTED)
    assert store.written == []


def test_pretrained_audio_brings_its_pca_along(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network, pca = TinyVGGish(), {"pca_eigen_vectors": torch.eye(128).numpy(), "pca_means": torch.arange(128.0).numpy()}
    sources = [publish(tmp_path, content) for content in (network.state_dict(), pca)]
    monkeypatch.setattr(recipes, "_audio_sources", lambda pca: sources[: 1 + pca])
    config = dataclasses.replace(RANDOM, audio=Audio(weights="pretrained", pca=True))
    with_pca = prepare(config, store, EXTRACTED)["audio"]
    filled = TinyVGGish()
    eigenvectors, means = pca_of(load(filled, with_pca, store)) or (None, None)
    assert torch.equal(filled.layer.weight, network.layer.weight)
    assert eigenvectors is not None and torch.equal(eigenvectors, torch.eye(128))
    assert means is not None and torch.equal(means, torch.arange(128.0))
    without = prepare(dataclasses.replace(config, audio=Audio(weights="pretrained", pca=False)), store, EXTRACTED)[
        "audio"
    ]
    assert without.key != with_pca.key
    assert pca_of(load(TinyVGGish(), without, store)) is None


def publish(folder: Path, content: dict[str, object]) -> PublishedFile:
    path = folder / "file.pth"
    torch.save(content, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    named = path.rename(folder / f"net-{digest[:8]}.pth")
    return url_source("audio", named.as_uri())


def test_the_released_files_are_those_torchvggish_names() -> None:
    names = [source.file_name for source in recipes._audio_sources(True)]
    assert names == ["vggish-10086976.pth", "vggish_pca_params-970ea276.pth"]
    assert [source.sha256 for source in recipes._audio_sources(True)] == ["10086976", "970ea276"]


def test_random_flow_weights_follow_the_seed(store: CountingStore) -> None:
    config = dataclasses.replace(RANDOM, flow=Flow(model="liteflownet", weights="random"))
    refs = prepare(config, store, EXTRACTED)
    network = load_ptlflow("liteflownet")
    load(network, refs["flow"], store)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = load_ptlflow("liteflownet").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_an_unknown_flow_checkpoint_lists_those_there_are() -> None:
    config = dataclasses.replace(RANDOM, flow=Flow(model="liteflownet", checkpoint="nothing"))
    with pytest.raises(InputError, match=r"flow\.checkpoint.*nothing.*kitti"):
        survey(config)


def test_survey_asks_for_nothing_when_all_weights_are_random() -> None:
    assert survey(RANDOM) == []
