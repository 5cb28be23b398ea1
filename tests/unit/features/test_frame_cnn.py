import copy

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from actionrec.errors import InputError
from actionrec.features import frame_cnn
from actionrec.features.frame_cnn import FrameCNN, build_frame_cnn, mean_std, random_frame_cnn, render_images, to_input

SIZE = 139


@pytest.fixture(scope="module")
def inception() -> nn.Module:
    """InceptionResNetV2 as the demo has it."""
    return random_frame_cnn("inception_resnet_v2", size=SIZE, seed=0)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Other pictures than those of the calibration: mirrored, inverted, darker."""
    return (255 - render_images(12)[:, ::-1, ::-1]) // 3 * 2


def wrap(network: nn.Module, batch: int = 4, size: int = SIZE) -> FrameCNN:
    mean, std = mean_std(network)
    return FrameCNN(copy.deepcopy(network), size=size, mean=mean, std=std, batch=batch)


def test_unknown_network_names_the_key_and_the_nearest() -> None:
    with pytest.raises(InputError, match=r"frame\.model.*incption_resnet_v2.*inception_resnet_v2"):
        build_frame_cnn("incption_resnet_v2")


@pytest.mark.parametrize("name", ["", "../x", "hf_hub:timm/resnet18", "inception_resnet_v2.no_such_tag"])
def test_names_that_are_no_network_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"frame\.model"):
        build_frame_cnn(name)


def test_a_size_the_network_cannot_take_names_the_key() -> None:
    with pytest.raises(InputError, match=r"frame\.size.*100x100"):
        random_frame_cnn("test_vit", size=100, seed=0)
    with pytest.raises(InputError, match=r"frame\.size.*16x16"):
        frame_cnn.check_size(build_frame_cnn("inception_resnet_v2"), 16)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet", "mobilenetv3_small_050"])
def test_any_timm_network_gives_float32_of_its_own_width(name: str, frames: np.ndarray) -> None:
    network = build_frame_cnn(name)
    embeddings = wrap(network, size=160)(frames[:3])
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (3, frame_cnn.width(network))
    assert np.isfinite(embeddings).all()


def test_default_embedding_is_1536_wide_and_no_frames_give_no_rows(inception: nn.Module, frames: np.ndarray) -> None:
    cnn = wrap(inception)
    assert cnn(frames[:1]).shape == (1, 1536)
    assert cnn(frames[:0]).shape == (0, 1536)


def test_folded_channels_last_stays_within_1e_4_of_the_plain_network(inception: nn.Module, frames: np.ndarray) -> None:
    mean, std = mean_std(inception)
    with torch.inference_mode():
        plain = inception(to_input(frames[:4], size=SIZE, mean=mean, std=std).contiguous()).numpy()
    folded = wrap(inception)(frames[:4])
    assert np.abs(folded - plain).max() < 1e-4  # measured: 2e-5
    assert plain.mean() > 0.1  # so that the bound above says something


def test_folding_leaves_no_batch_norm_in_the_default_network_and_spares_others() -> None:
    def norms(network: nn.Module) -> int:
        return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())

    assert norms(build_frame_cnn("inception_resnet_v2")) == 204
    assert norms(frame_cnn.fold(build_frame_cnn("inception_resnet_v2"))) == 0
    assert norms(frame_cnn.fold(build_frame_cnn("resnet18"))) == norms(build_frame_cnn("resnet18")) == 20


def test_values_repeat_exactly_and_hardly_depend_on_the_batch_size(inception: nn.Module, frames: np.ndarray) -> None:
    cnn = wrap(inception, batch=4)
    embeddings = cnn(frames[:6])  # the last batch is partial
    np.testing.assert_array_equal(cnn(frames[:6]), embeddings)
    np.testing.assert_array_equal(cnn(frames[:4]), embeddings[:4])
    for batch in (1, 16):
        np.testing.assert_allclose(wrap(inception, batch=batch)(frames[:6]), embeddings, rtol=0, atol=2e-5)


def test_frames_are_stretched_as_pil_does_and_normalised(frames: np.ndarray) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    images = to_input(frames[:3], size=SIZE, mean=mean, std=std).permute(0, 2, 3, 1).numpy()
    pil = np.stack([np.asarray(Image.fromarray(f).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for f in frames[:3]])
    levels = (images * np.array(std) + np.array(mean)) * 255
    assert np.abs(levels - pil).max() < 1.001


def test_mean_and_std_are_timms() -> None:
    assert mean_std(build_frame_cnn("inception_resnet_v2")) == ((0.5,) * 3, (0.5,) * 3)
    assert mean_std(build_frame_cnn("resnet18")) == (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)


def test_calibration_makes_random_embeddings_informative(inception: nn.Module, frames: np.ndarray) -> None:
    torch.manual_seed(0)
    before = wrap(build_frame_cnn("inception_resnet_v2"))(frames)
    after = wrap(inception)(frames)

    def relative_spread(embeddings: np.ndarray) -> float:
        return float(embeddings.std(axis=0).mean() / embeddings.mean())

    assert relative_spread(before) < 0.05
    assert relative_spread(after) > 0.4
    assert (after.std(axis=0) == 0).sum() < 16


def test_random_network_follows_its_seed_and_leaves_torchs_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_cnn, "CALIBRATION_IMAGES", 4)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    nets = [random_frame_cnn("test_resnet", size=96, seed=seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])
    assert not torch.equal(nets[0]["conv1.0.weight"], nets[2]["conv1.0.weight"])


def test_calibration_sets_the_statistics_of_the_images_and_keeps_momentum() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=0.03)).eval()
    network.pretrained_cfg = {}
    frame_cnn.calibrate(network, size=32)
    mean, std = mean_std(network)
    with torch.inference_mode():
        output = network(to_input(render_images(64), size=32, mean=mean, std=std))
    assert output.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (output.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1
    assert network[1].momentum == 0.03
    assert not network[1].training
