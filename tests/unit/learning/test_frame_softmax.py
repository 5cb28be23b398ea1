"""The softmax layer on single frames, held against probabilities that are averaged plainly, frame by frame."""

import math

import pytest
import torch
import torch.nn.functional as F

from actionrec.config import Training
from actionrec.learning.frame_softmax import FrameSoftmax
from actionrec.learning.loop import Batch, fit
from tests.held import CLASSES, Overfit, longer, noise, tensors, twenty

WIDTH = 6
LENGTHS = [5, 1, 7, 2]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def build(dropout: float = 0.5, width: int = WIDTH) -> FrameSoftmax:
    torch.manual_seed(0)
    network = FrameSoftmax(width, CLASSES, dropout).eval()
    network.mean.copy_(torch.linspace(0, 2, width))
    network.scale.copy_(torch.linspace(1, 3, width))
    return network


def test_mean_of_two_frames_by_hand() -> None:
    """Of logits (ln 3, 0) the softmax is (3/4, 1/4), of (0, 0) it is a half each: (5/8, 3/8) on average."""
    network = FrameSoftmax(1, 2, 0.0)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[math.log(3)], [0.0]]))
        network.head.bias.zero_()
    network.mean.fill_(10.0)
    network.scale.fill_(2.0)
    found = network(torch.tensor([[[12.0], [10.0], [99.0]]]), torch.tensor([2]))
    torch.testing.assert_close(found, torch.tensor([[5 / 8, 3 / 8]]).log())
    assert F.cross_entropy(found, torch.tensor([1])).item() == pytest.approx(-math.log(3 / 8))


def test_each_video_is_the_plain_mean_of_its_own_frames() -> None:
    network, sequences = build(), noise(LENGTHS, WIDTH)
    found = network(*tensors(sequences))
    assert found.shape == (len(LENGTHS), CLASSES) and found.dtype == torch.float32
    for row, sequence in zip(found, sequences, strict=True):
        standardised = (torch.from_numpy(sequence) - network.mean) / network.scale
        mean = (standardised @ network.head.weight.T + network.head.bias).softmax(1).mean(0)
        torch.testing.assert_close(row.exp(), mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(len(LENGTHS)))
    torch.testing.assert_close(found.log_softmax(1), found)


def test_one_frame_is_log_softmax() -> None:
    network, x_BE = build(), torch.from_numpy(noise([9], WIDTH)[0])
    logits = network.head((x_BE - network.mean) / network.scale)
    torch.testing.assert_close(network(x_BE[:, None], torch.ones(9, dtype=torch.int64)), logits.log_softmax(1))


def test_probabilities_too_small_for_a_float_keep_their_logarithm_and_gradient() -> None:
    """Both frames say exp(-1000), which is 0 in float32."""
    network = FrameSoftmax(1, 2, 0.0)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1000.0], [0.0]]))
        network.head.bias.zero_()
    found = network(torch.ones(1, 2, 1), torch.tensor([2]))
    torch.testing.assert_close(found, torch.tensor([[0.0, -1000.0]]))
    F.cross_entropy(found, torch.tensor([1])).backward()
    torch.testing.assert_close(network.head.bias.grad, torch.tensor([1.0, -1.0]), rtol=0, atol=1e-4)  # 1000's rounding


@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan")])
def test_padding_changes_no_bit_and_no_gradient(garbage: float) -> None:
    x_BLE, lengths = tensors(noise(LENGTHS, WIDTH))
    plain, padded = build(), build()
    found = padded(longer(x_BLE, lengths, 37, garbage), lengths)
    assert torch.equal(found, plain(x_BLE, lengths))
    for network, log_BC in ((plain, plain(x_BLE, lengths)), (padded, found)):
        log_BC[:, 0].sum().backward()
        assert network.head.weight.grad is not None and network.head.weight.grad.abs().sum() > 0
    assert padded.head.weight.grad is not None
    torch.testing.assert_close(padded.head.weight.grad, plain.head.weight.grad)


def test_neighbours_in_the_batch_change_no_more_than_rounding() -> None:
    network, sequences = build(), noise(LENGTHS, WIDTH)
    alone = torch.cat([network(*tensors([sequence])) for sequence in sequences])
    torch.testing.assert_close(network(*tensors(sequences)), alone, rtol=0, atol=1e-6)


def test_dropout_acts_in_training_only() -> None:
    network, inputs = build(), tensors(noise(LENGTHS, WIDTH))
    assert torch.equal(network(*inputs), network(*inputs))
    network.train()
    assert not torch.equal(network(*inputs), network(*inputs))


def test_learns_twenty_videos_by_heart() -> None:
    sequences, target = twenty(128)
    batch = Batch(tensors(sequences), target, torch.ones(20))
    training = Training(optimizer="adam", lr=0.05, max_epochs=100)
    fitted = fit(build(dropout=0.0, width=128), Overfit(batch), training, seed=0)
    assert fitted.history[fitted.best_epoch].val_top1 == 1.0
    assert fitted.history[-1].val_loss < 0.1 < 1.0 < fitted.history[0].train_loss
