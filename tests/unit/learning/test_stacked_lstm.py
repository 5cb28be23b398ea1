"""LSTM layers of different sizes, held against torch.nn run layer by layer on each unpadded sequence."""

import pytest
import torch
from torch import nn

from actionrec.config import Rnn, Training
from actionrec.learning.loop import Batch, fit
from actionrec.learning.rnn import SequenceClassifier
from actionrec.learning.stacked_lstm import StackedLstm
from tests.held import CLASSES, Overfit, longer, noise, tensors, twenty

WIDTH = 6
LENGTHS = [5, 1, 7, 2]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def build(units: tuple[int, ...] = (10, 4), dropout: float = 0.5) -> StackedLstm:
    torch.manual_seed(0)
    network = StackedLstm(WIDTH, units, CLASSES, dropout).eval()
    network.mean.copy_(torch.linspace(0, 2, WIDTH))
    network.scale.copy_(torch.linspace(1, 3, WIDTH))
    return network


@pytest.mark.parametrize("units", [(8,), (10, 4), (3, 7, 5)])
def test_embedding_is_the_last_state_of_torchs_layers_in_turn(units: tuple[int, ...]) -> None:
    network, sequences = build(units), noise(LENGTHS, WIDTH)
    found = network.embed(*tensors(sequences))
    assert found.shape == (len(LENGTHS), network.embedding_width) == (len(LENGTHS), units[-1])
    for embedding, sequence in zip(found, sequences, strict=True):
        outputs = (torch.from_numpy(sequence) - network.mean) / network.scale
        for layer, taken, given in zip(network.layers, (WIDTH, *units), units, strict=False):
            plain = nn.LSTM(taken, given)
            plain.load_state_dict(layer.state_dict())
            outputs, _ = plain(outputs)
        torch.testing.assert_close(embedding, outputs[-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(network(*tensors(sequences)), network.head(found))


def test_of_equal_layers_it_is_the_network_of_table_1() -> None:
    network = build((8, 8))
    other = SequenceClassifier(Rnn(cell="lstm", units=8, layers=2, bidirectional=False), WIDTH, CLASSES).eval()
    renamed = {
        f"recurrent.{name.removesuffix('l0')}l{layer}": tensor
        for layer in (0, 1)
        for name, tensor in network.layers[layer].state_dict().items()
    }
    rest = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("layers.")}
    other.load_state_dict(rest | renamed)
    inputs = tensors(noise(LENGTHS, WIDTH))
    torch.testing.assert_close(network(*inputs), other(*inputs), rtol=0, atol=1e-6)


def test_learns_by_every_parameter() -> None:
    network = build().train()
    network(*tensors(noise(LENGTHS, WIDTH))).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan")])
def test_padding_changes_no_bit(garbage: float) -> None:
    network, (x_BLE, lengths) = build(), tensors(noise(LENGTHS, WIDTH))
    assert torch.equal(network(longer(x_BLE, lengths, 37, garbage), lengths), network(x_BLE, lengths))


def test_neighbours_in_the_batch_change_no_more_than_rounding() -> None:
    network, sequences = build(), noise(LENGTHS, WIDTH)
    alone = torch.cat([network(*tensors([sequence])) for sequence in sequences])
    torch.testing.assert_close(network(*tensors(sequences)), alone, rtol=0, atol=1e-6)


def test_dropout_stands_before_the_input_between_the_layers_and_before_the_head() -> None:
    network, inputs = build((10, 4)), tensors(noise(LENGTHS, WIDTH))
    assert torch.equal(network(*inputs), network(*inputs))
    passed: list[torch.Tensor] = []
    network.dropout.register_forward_hook(lambda module, args, output: passed.append(output))
    network.train()(*inputs)
    steps = sum(LENGTHS)  # of padding nothing is dropped
    assert [tuple(each.shape) for each in passed] == [(steps, WIDTH), (steps, 10), (len(LENGTHS), 4)]
    assert all(0.1 < (each == 0).float().mean() < 0.9 for each in passed)


def test_learns_twenty_videos_by_heart() -> None:
    sequences, target = twenty(WIDTH)
    batch = Batch(tensors(sequences), target, torch.ones(20))
    training = Training(optimizer="adam", lr=0.01, max_epochs=150)
    fitted = fit(build((32, 16), dropout=0.0), Overfit(batch), training, seed=0)
    assert fitted.history[fitted.best_epoch].val_top1 == 1.0
    assert fitted.history[-1].val_loss < 0.1 < 1.0 < fitted.history[0].train_loss
