"""Frame embeddings: any timm network without its classifier; InceptionResNetV2, 1536 wide, by default (IV.A).

Axes: T frames, H height, W width, C colours (RGB), E the width of the network's last pooled layer.

The network runs channels_last with every BatchNorm folded into its convolution. InceptionResNetV2 on one CPU thread:
0.062 s a frame against 0.080 at 139x139 (where either change by itself gains nothing), 0.42 against 0.51 at 299x299,
and the embeddings move by 2e-5 around a mean of 0.4. A GPU runs the same in float32, where cuDNN may use TF32.

timm and torchvision take two seconds to import, so only what builds or feeds a network imports them.
"""

import difflib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from actionrec.errors import InputError
from actionrec.features.light import import_timm

CALIBRATION_IMAGES = 64
CALIBRATION_SEED = 0
CALIBRATION_BATCH = 16

Colour = tuple[float, float, float]


def build_frame_cnn(name: str) -> nn.Module:
    """timm's network `name` (an architecture, or architecture.tag) with pooled output, random weights, in eval mode.

    The weights are drawn from torch's current seed. Raises InputError for a name that timm does not have.
    """
    timm = import_timm()
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see timm's list of models"
        raise InputError(f"frame.model: timm has no network called {name!r}; {hint}")
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except (
        RuntimeError,
        ValueError,
    ) as error:  # an unknown tag, a path, or an architecture that wants a package or options of its own
        raise InputError(f"frame.model: timm cannot build {name!r}: {error}") from None
    return network.eval()


def random_frame_cnn(name: str, *, size: int, seed: int) -> nn.Module:
    """`build_frame_cnn` with weights drawn from `seed`, and BatchNorm calibrated on 64 rendered images at size x size.

    Without calibration a random network's embeddings are all but constant: see `calibrate`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_frame_cnn(name)
    calibrate(network, size=size)
    return network


def mean_std(network: nn.Module) -> tuple[Colour, Colour]:
    """The mean and standard deviation of timm's data config, for colours scaled to 0..1."""
    import_timm()
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(network)
    return config["mean"], config["std"]


def width(network: nn.Module) -> int:
    """E, after what layers of its own a head may have before the classifier."""
    value: Any = getattr(network, "head_hidden_size", None) or network.num_features
    return int(value)


class FrameCNN:
    """uint8 frames to float32 embeddings. Takes the network over: folds it in place, in eval mode, and moves it.

    A batch never mixes videos, so an embedding depends on its own video alone; another batch size moves it by 1e-5 at
    most (measured; the arithmetic libraries choose their kernels by shape).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int,
        mean: Colour,
        std: Colour,
        device: str | torch.device = "cpu",
        batch: int,
    ) -> None:
        self.width = width(network)
        self._device = torch.device(device)
        self._size, self._batch = size, batch
        self._mean, self._std = mean, std
        self._network = fold(network.eval()).to(self._device).to(memory_format=torch.channels_last)

    def __call__(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings float32 [T, E] of RGB frames uint8 [T, H, W, 3], each stretched to size x size without a crop."""
        embeddings = np.empty((len(frames_THWC), self.width), np.float32)
        for start in range(0, len(frames_THWC), self._batch):
            some_THWC = frames_THWC[start : start + self._batch]
            with torch.inference_mode():
                images = to_input(some_THWC, size=self._size, mean=self._mean, std=self._std, device=self._device)
                embeddings[start : start + self._batch] = self._network(images).float().cpu().numpy()
        return embeddings


def to_input(
    frames_THWC: NDArray[np.uint8], *, size: int, mean: Colour, std: Colour, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Frames as the network wants them: bicubic with antialiasing (within one grey level of PIL's), normalised.

    Returns float32 [T, 3, size, size], channels_last.
    """
    return normalize(stretch(frames_THWC, size=size, device=device), mean=mean, std=std)


def stretch(frames_THWC: NDArray[np.uint8], *, size: int, device: str | torch.device = "cpu") -> torch.Tensor:
    """The first half of `to_input`: frames uint8 [T, 3, size, size]."""
    import_timm()
    from torchvision.transforms.v2.functional import InterpolationMode, resize

    frames_TCHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).to(device)
    stretched: torch.Tensor = resize(frames_TCHW, [size, size], InterpolationMode.BICUBIC, antialias=True)
    return stretched


def normalize(frames_TCHW: torch.Tensor, *, mean: Colour, std: Colour) -> torch.Tensor:
    """The second half of `to_input`, on the frames' own device."""
    images = frames_TCHW.float().div_(255)
    mean_C11, std_C11 = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (mean, std))
    return images.sub_(mean_C11).div_(std_C11).contiguous(memory_format=torch.channels_last)


def fold(network: nn.Module) -> nn.Module:
    """Merge each BatchNorm into the convolution before it, in place, and return the network.

    Only inside timm's ConvNormAct, which is known to run one straight after the other; InceptionResNetV2 is made of
    nothing else. Other networks stay as they are.
    """
    import_timm()
    from timm.layers.conv_bn_act import ConvNormAct

    for module in network.modules():
        if isinstance(module, ConvNormAct) and isinstance(module.bn, nn.BatchNorm2d):
            activation = getattr(module.bn, "act", nn.Identity())
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = activation
    return network


def calibrate(network: nn.Module, *, size: int) -> None:
    """Set every BatchNorm's running statistics to those of the rendered images; nothing else changes.

    With PyTorch's defaults (mean 0, variance 1) a random network's activations shrink layer by layer until all images
    give all but the same embedding. InceptionResNetV2 at 139x139 over other images: spread 6e-5 around a mean of 0.008
    with 742 of 1536 outputs constant before; spread 0.38 around 0.42 with none constant after.

    Raises InputError if the network cannot take images of this size.
    """
    check_size(network, size)
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over all batches
        norm.train()
    mean, std = mean_std(network)
    images_THWC = render_images(CALIBRATION_IMAGES)
    for start in range(0, CALIBRATION_IMAGES, CALIBRATION_BATCH):
        some_THWC = images_THWC[start : start + CALIBRATION_BATCH]
        with torch.inference_mode():
            network(to_input(some_THWC, size=size, mean=mean, std=std))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def check_size(network: nn.Module, size: int) -> None:
    """Raises InputError where the network, in eval mode, cannot take images of size x size."""
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError) as error:  # timm's and torch's ways to refuse a shape
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"frame.size: the network cannot take {size}x{size} images ({reason})") from None


def render_images(count: int) -> NDArray[np.uint8]:
    """Procedural pictures, uint8 [count, 240, 320, 3], always the same: waves of colour, plain discs, and noise."""
    rng = np.random.default_rng(CALIBRATION_SEED)
    y, x = np.mgrid[0:240, 0:320].astype(np.float32) / 240
    return np.stack([_render(rng, y, x) for _ in range(count)])


def _render(rng: np.random.Generator, y: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.uint8]:
    picture = np.tile(rng.uniform(0, 255, 3), (*y.shape, 1))
    for frequency in 2.0 ** rng.uniform(-1, 5, 4):  # from one slow gradient to stripes of a few pixels
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        picture += wave[..., None] * rng.uniform(-40, 40, 3)
    for _ in range(rng.integers(2, 8)):
        centre_y, centre_x, radius = rng.uniform((0, 0, 0.03), (1, 4 / 3, 0.3))
        picture[np.hypot(y - centre_y, x - centre_x) < radius] = rng.uniform(0, 255, 3)
    picture += rng.normal(0, rng.uniform(0, 15), picture.shape)
    return picture.clip(0, 255).astype(np.uint8)
