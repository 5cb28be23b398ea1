"""Fine-tuning: timm's own order of layers says what learns, and nothing else moves, BatchNorm's statistics included."""

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from actionrec.errors import InputError
from actionrec.features.finetune import FineTuner, backbone_tensors, layer_blocks, middles, upper_blocks
from actionrec.features.frame_cnn import build_frame_cnn, width


def tuner(name: str = "test_resnet", blocks: int = 1, dropout: float = 0.0) -> FineTuner:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FineTuner(build_frame_cnn(name), blocks, 3, dropout)


def learning(network: FineTuner) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def images(videos: int = 2, frames: int = 3, size: int = 64) -> torch.Tensor:
    return torch.randn(videos, frames, 3, size, size, generator=torch.Generator().manual_seed(1))


def train_a_step(network: FineTuner) -> None:
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(network(images()), torch.tensor([0, 2])).backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("name", "blocks", "modules"),
    [
        ("inception_resnet_v2", 3, {"repeat_2.7", "repeat_2.8", "block8", "conv2d_7b"}),
        ("resnet50", 2, {"layer4.1", "layer4.2"}),
        ("convnext_tiny", 2, {"stages.3.blocks.1", "stages.3.blocks.2", "head.norm"}),  # a norm alone is no block
        ("vit_tiny_patch16_224", 1, {"blocks.11", "norm"}),
        ("test_resnet", 1, {"layer4.0"}),
    ],
)
def test_the_last_blocks_are_the_uppermost_layers_whole(name: str, blocks: int, modules: set[str]) -> None:
    with torch.device("meta"):
        network = build_frame_cnn(name)
    expected = {f"{module}.{own}" for module in modules for own, _ in network.get_submodule(module).named_parameters()}
    assert {parameter for block in upper_blocks(network, blocks) for parameter in block} == expected


@pytest.mark.parametrize("name", ["inception_resnet_v2", "resnet50", "convnext_tiny", "vit_tiny_patch16_224"])
def test_every_parameter_is_in_exactly_one_block(name: str) -> None:
    with torch.device("meta"):
        network = build_frame_cnn(name)
    names = [parameter for block in layer_blocks(network) for parameter in block]
    assert sorted(names) == sorted(parameter for parameter, _ in network.named_parameters())


def test_more_blocks_than_there_are_names_the_key_and_the_number() -> None:
    assert len(upper_blocks(build_frame_cnn("test_resnet"), 5)) == 5
    with pytest.raises(InputError, match=r"finetune\.blocks=6: the network has 5 blocks"):
        tuner(blocks=6)


def test_a_network_without_known_blocks_is_refused() -> None:
    with pytest.raises(InputError, match=r"finetune\.blocks.*Linear"):
        upper_blocks(nn.Linear(2, 2), 1)


def test_only_the_upper_blocks_and_the_classifier_get_gradients() -> None:
    network = tuner(blocks=2)
    network.train()
    network(images()).sum().backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert moved == learning(network)
    roots = {".".join(name.split(".")[:2]) for name in moved}
    assert roots == {"backbone.layer3", "backbone.layer4", "head.weight", "head.bias"}


def test_a_step_of_training_moves_the_upper_blocks_with_their_statistics_and_nothing_below() -> None:
    network = tuner(blocks=1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train_a_step(network)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {".".join(name.split(".")[:2]) for name in changed} == {"backbone.layer4", "head.weight", "head.bias"}
    norms = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    above = {f"{name}.running_mean" for name in norms if "layer4" in name}
    assert above and {name for name in changed if "running_mean" in name} == above


def test_what_is_frozen_computes_the_same_in_training_as_in_evaluation() -> None:
    network = tuner(blocks=1)
    seen: list[torch.Tensor] = []
    network.backbone.get_submodule("layer3").register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        network.train()(images())
        network.eval()(images())
    assert torch.equal(*seen)


def test_logits_are_the_mean_over_a_videos_own_frames() -> None:
    network, x = tuner().eval(), images(4, 3)
    with torch.no_grad():
        each = torch.stack([network.head(network.backbone(x[:, k])) for k in range(3)])
        assert network(x).shape == (4, 3)
        torch.testing.assert_close(network(x), each.mean(0))


def test_the_backbones_tensors_fill_the_network_that_extraction_builds() -> None:
    network = tuner()
    train_a_step(network)
    other = build_frame_cnn("test_resnet")
    other.load_state_dict(backbone_tensors(network.state_dict()), strict=True)
    frames = images()[:, 0]
    with torch.no_grad():
        assert torch.equal(other(frames), network.eval().backbone(frames))
        assert other(frames).shape == (2, width(other))


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(100, 4, [12, 37, 62, 87]), (4, 4, [0, 1, 2, 3]), (1, 3, [0, 0, 0]), (2, 4, [0, 0, 1, 1])],
)
def test_middles_of_equal_stretches(length: int, count: int, expected: list[int]) -> None:
    assert middles(length, count) == expected
