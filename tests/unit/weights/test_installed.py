"""Weights that an installed package brings along: found without running its code, held to their hash, and all used."""

import dataclasses
import hashlib
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from actionrec import config, doctor
from actionrec.errors import InputError
from actionrec.features.frame_cnn import FrameCNN, build_frame_cnn, mean_std, render_images
from actionrec.storage.local_store import LocalStore
from actionrec.storage.weights import Availability, load, prepare, survey
from actionrec.weights import installed, recipes
from actionrec.weights.installed import InstalledFile, verified

MODEL = "tf_efficientnet_lite0"
REAL = installed.FRAME[MODEL]
LITE = config.load([{"frame": {"model": MODEL, "size": 64}, "flow": {"model": "dis"}, "audio": {"model": "logmel"}}])


def published_names(network: nn.Module) -> dict[str, str]:
    """timm's name of each tensor -> the name that the publisher has for it, written down block by block."""
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    expanding = {
        "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1", "conv_pwl":
        "_project_conv", "bn3": "_bn2",
    }  # fmt: skip
    first_of_stage = (0, 1, 3, 5, 8, 11, 15)
    found = {}
    for name in network.state_dict():
        first, *others = name.split(".")
        if first == "blocks":
            stage, block, layer, *others = others
            theirs = (plain if stage == "0" else expanding)[layer]
            first = f"_blocks.{first_of_stage[int(stage)] + int(block)}.{theirs}"
        else:
            first = outside[first]
        found[name] = ".".join([first, *others])
    return found


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[InstalledFile, nn.Module]:
    """A package of such weights, whose code must not run, and the network that they are of."""
    torch.manual_seed(5)
    network: nn.Module = timm.create_model(MODEL)
    tensors = network.state_dict()
    site, info = tmp_path / "site", tmp_path / "site/lite_weights-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lite-weights\nVersion: 0.1\n")
    (site / "lite_weights").mkdir()
    (site / "lite_weights/__init__.py").write_text("raise AssertionError('imported')")
    path = site / "lite_weights/net.pth"
    torch.save({theirs: tensors[name] for name, theirs in published_names(network).items()}, path)
    found = InstalledFile("lite-weights", "0.1", "lite_weights/net.pth", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(installed.FRAME, MODEL, found)
    monkeypatch.setattr(recipes, "obtain", lambda source: pytest.fail("a network was asked"))
    return found, network


def test_an_installed_package_comes_before_the_hub_and_every_tensor_of_it_is_used(
    package: tuple[InstalledFile, nn.Module], tmp_path: Path
) -> None:
    source, published = package
    store = LocalStore(str(tmp_path / "root"))
    ref = prepare(LITE, store, ["spatial"])["spatial"]
    assert (ref.key, ref.kind) == (f"weights/frame-{MODEL}-pretrained.safetensors", "pretrained")
    assert "lite-weights 0.1" in ref.description and source.sha256[:16] in ref.description
    network = build_frame_cnn(MODEL)
    load(network, ref, store)
    assert all(torch.equal(tensor, published.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert "lite_weights" not in sys.modules
    assert survey(LITE) == [Availability("frame", "net.pth of the package lite-weights", "installed")]


@pytest.mark.parametrize("change", ["damaged", "gone"])
def test_a_package_with_another_file_is_refused_in_a_sentence_that_names_file_and_remedy(
    package: tuple[InstalledFile, nn.Module], tmp_path: Path, change: str
) -> None:
    path = verified(package[0])
    path.write_bytes(path.read_bytes()[:-1] + b"x") if change == "damaged" else path.unlink()
    store = LocalStore(str(tmp_path / "root"))
    for look in (lambda: prepare(LITE, store, ["spatial"]), lambda: survey(LITE)):
        with pytest.raises(InputError) as refused:
            look()
        said = str(refused.value)
        assert str(path) in said and "install lite-weights==0.1 again, or uninstall it" in said
        assert [(each.ok, each.detail) for each in doctor._weights(LITE)] == [(False, said)]
    assert not store.sizes()


def test_without_the_package_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(installed.FRAME, MODEL, dataclasses.replace(REAL, package="no-such-package-of-weights"))
    recipe = recipes.frame(LITE)
    (source,) = recipe.sources()
    assert source.file_name == "timm--tf_efficientnet_lite0.in1k.safetensors" and "package" not in recipe.description


def test_another_tag_of_the_network_is_not_the_packages() -> None:
    (source,) = recipes.frame(config.load([{"frame": {"model": f"{MODEL}.in1k"}}])).sources()
    assert not isinstance(source, InstalledFile)


def test_a_tensor_too_few_is_refused(package: tuple[InstalledFile, nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    source = package[0]
    path = verified(source)
    tensors = torch.load(path, weights_only=True)
    del tensors["_blocks.15._bn0.running_var"]
    torch.save(tensors, path)
    changed = dataclasses.replace(source, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(installed.FRAME, MODEL, changed)
    with pytest.raises(InputError, match=r"net\.pth: these weights belong to another network"):
        recipes.frame(LITE).make()


@pytest.mark.skipif(not installed.is_installed(REAL), reason="the package of weights is not installed")
def test_the_real_package_is_the_one_published_and_tells_pictures_apart() -> None:
    """Embeddings as unlike as those of a trained network: in a random one all pictures are all but alike."""
    network = build_frame_cnn(MODEL)
    network.load_state_dict(recipes.frame(LITE).make())
    assert mean_std(network) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    cnn = FrameCNN(network, size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), batch=8)
    embeddings = cnn(render_images(8))
    assert embeddings.shape == (8, 1280)
    unlike = 1 - torch.corrcoef(torch.from_numpy(embeddings))
    assert unlike[~torch.eye(8, dtype=torch.bool)].mean() > 0.2
