"""Fine-tuning of the frame CNN's upper blocks (V.B): what of the network learns, and what stays as it was published.

Axes: B videos, K frames of each, C classes, S the network's square input in pixels, T frames of a clip, E the width of
the network's last pooled layer.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from actionrec.errors import InputError
from actionrec.features.frame_cnn import width
from actionrec.features.light import import_timm


class FineTuner(nn.Module):
    """A timm network whose last `blocks` blocks learn, with a classifier of its own over several frames of a video.

    Everything below those blocks keeps its parameters and its BatchNorm statistics, in training mode too.
    """

    def __init__(self, backbone: nn.Module, blocks: int, classes: int, dropout: float) -> None:
        """Takes over `backbone`, build_frame_cnn's network. InputError where it does not have so many blocks."""
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width(backbone), classes)
        learning = {name for block in upper_blocks(backbone, blocks) for name in block}
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in learning)

    def forward(self, images_BKCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of normalised images float32 [B, K, 3, S, S]: the mean over each video's frames."""
        frames = images_BKCHW.shape[1]
        embeddings = self.backbone(images_BKCHW.flatten(0, 1))  # [B * K, E]
        logits: torch.Tensor = self.head(self.dropout(embeddings)).unflatten(0, (-1, frames)).mean(1)
        return logits

    def train(self, mode: bool = True) -> "FineTuner":
        """As nn.Module's, but what does not learn stays in evaluation mode."""
        super().train(mode)
        for module in self.backbone.modules():
            parameters = list(module.parameters())
            can_change = bool(parameters) or isinstance(module, _BatchNorm)  # other layers just follow their parent
            if can_change and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self


def backbone_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a FineTuner's state those tensors that are the backbone's, under the backbone's own names."""
    return {name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")}


def upper_blocks(network: nn.Module, count: int) -> list[list[str]]:
    """The parameters' names of the last `count` blocks, the uppermost last. InputError where there are fewer.

    A block is a group of timm's own group_matcher, which knows the order of layers in every architecture. A group of
    nothing but vectors, such as ConvNeXt's last normalisation, is no block and goes with the one before it.
    """
    blocks = layer_blocks(network)
    if count > len(blocks):
        raise InputError(f"finetune.blocks={count}: the network has {len(blocks)} blocks; set that many or fewer")
    return blocks[len(blocks) - count :]


def layer_blocks(network: nn.Module) -> list[list[str]]:
    """All blocks from the input up, as lists of parameters' names; see `upper_blocks`."""
    matcher = getattr(network, "group_matcher", None)
    if matcher is None:
        name = type(network).__name__
        raise InputError(
            f"finetune.blocks: timm does not say what the blocks of a {name} are; tune another frame.model"
        )
    blocks: list[list[str]] = []
    for names in import_timm().models.group_parameters(network, matcher(coarse=False)).values():
        if blocks and all(network.get_parameter(name).ndim < 2 for name in names):
            blocks[-1] += names
        else:
            blocks.append(list(names))
    return blocks


def middles(length: int, count: int) -> list[int]:
    """The indices of the middle frames of `count` equal stretches of a clip of `length` frames."""
    return [(2 * place + 1) * length // (2 * count) for place in range(count)]
