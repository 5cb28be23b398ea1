"""Audio embeddings: VGGish on log-mel examples of 0.96 s (IV.D).

Axes: A examples, M = 96 log-mel frames of 10 ms, B = 64 mel bands, E = 128.

torchvggish supplies the mel arithmetic and the architecture. Its own constructor is never called, because that
downloads weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec.features.light import import_torchvggish

RATE_HZ = 16_000
EXAMPLE_S = 0.96
EXAMPLE_SAMPLES = 15_600  # 96 hops of 10 ms, the last window 25 ms long
WIDTH = 128
PCA = ("pca.eigenvectors", "pca.means")  # travel in the same file as the network
QUANTISED_RANGE = 2.0  # the released embeddings are clipped to -2..2, then spread over 0..255


def log_mel_examples(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-mel examples float32 [A, 1, 96, 64] of mono audio float32 [samples] at 16 kHz, A >= 1.

    Example k covers the time from 0.96 k s, without overlap. Audio shorter than one window of 15,600 samples is padded
    with zeros to that; a rest at the end that fills no window is dropped, as in the release. Silence is log(0.01).
    """
    padding = max(0, EXAMPLE_SAMPLES - len(audio))
    padded = np.pad(audio, (0, padding))
    examples_AMB = import_torchvggish().vggish_input.waveform_to_examples(padded, RATE_HZ, return_tensor=False)
    return np.ascontiguousarray(examples_AMB[:, None], dtype=np.float32)


def example_time_s(count: int) -> NDArray[np.float32]:
    """When each of `count` examples starts, float32 [count], in seconds."""
    return (np.arange(count) * EXAMPLE_S).astype(np.float32)


def build_vggish() -> nn.Module:
    """VGGish up to its 128-d embedding, random weights from torch's current seed, in eval mode. Downloads nothing."""
    release = import_torchvggish().torchvggish
    network: nn.Module = release.VGG(release.make_layers(), postprocess=False)
    return network.eval()


def empty_vggish() -> nn.Module:
    """The same with weights that are still to be filled in, each of them: to draw 72 million takes half a second."""
    with torch.device("meta"):
        network = build_vggish()
    return network.to_empty(device="cpu")


def random_vggish(seed: int) -> nn.Module:
    """VGGish with weights that carry information although nothing trained them: He's normal init, each filter centred.

    The network has no BatchNorm, and with PyTorch's init it answers every sound alike. He's variance keeps the signal's
    size, but 31 to 40 of the 128 outputs still never pass the last ReLU: what all activations share (they are positive)
    outweighs what differs. A filter whose weights sum to zero does not see the shared part. Over 51 unlike sounds:

        init            outputs always zero     spread over sounds / mean
        PyTorch's       54                      0.09  (spread 4e-4)
        He              31                      0.45
        He, centred     0                       1.5   (spread 0.4)
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_vggish()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                _init_centred(module)
    return network


def _init_centred(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with torch.no_grad():
        layer.weight -= layer.weight.mean(dim=tuple(range(1, layer.weight.ndim)), keepdim=True)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class VGGish:
    """Log-mel examples to float32 embeddings, with or without the release's PCA and 8-bit quantisation.

    `pca` is (eigenvectors float32 [128, 128], means float32 [128]): the embedding becomes eigenvectors @ (embedding -
    means), clipped to -2..2 and rounded to whole numbers of 0..255, which is how AudioSet's own embeddings were made.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: str | torch.device = "cpu",
        batch: int,
        pca: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._batch = batch
        self._network = network.eval().to(self._device)
        self._pca = None if pca is None else (pca[0].float().reshape(WIDTH, WIDTH), pca[1].float().reshape(WIDTH))

    def __call__(self, examples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings float32 [A, 128] of examples float32 [A, 1, 96, 64]."""
        embeddings = torch.empty(len(examples), WIDTH)
        with torch.inference_mode():
            for start in range(0, len(examples), self._batch):
                some = torch.from_numpy(examples[start : start + self._batch]).to(self._device)
                embeddings[start : start + self._batch] = self._network(some).float().cpu()
            result: NDArray[Any] = (embeddings if self._pca is None else quantise(embeddings, *self._pca)).numpy()
        return result


def pca_of(beside: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The PCA (eigenvectors, means) out of the tensors beside the network's own, or None where it is off."""
    return (beside[PCA[0]], beside[PCA[1]]) if beside else None


def quantise(embeddings: torch.Tensor, eigenvectors: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """The release's postprocessing of embeddings [A, 128]: whole numbers of 0..255, as float32."""
    projected = (embeddings - means) @ eigenvectors.T
    clipped = projected.clamp(-QUANTISED_RANGE, QUANTISED_RANGE)
    return torch.round((clipped + QUANTISED_RANGE) * (255 / (2 * QUANTISED_RANGE)))
