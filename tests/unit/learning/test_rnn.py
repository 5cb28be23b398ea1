"""The recurrent networks of Table I, held against torch.nn run on each unpadded sequence."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actionrec.config import Rnn
from actionrec.learning.rnn import SequenceClassifier, pad, parameters, standardization
from actionrec.table1.architectures import TABLE1

WIDTH, CLASSES = 6, 3
LENGTHS = [5, 1, 7, 2]
# Every network of Table I at a sixteenth of its units, and attention of one head.
TABLE_1 = [
    *(dataclasses.replace(row.of(Rnn()), units=row.units // 16) for row in TABLE1 if not row.svm),
    Rnn(units=32, attention=True),
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sequences(seed: int = 0) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    random = np.random.default_rng(seed)
    return [random.normal(3, 2, size=(length, WIDTH)).astype(np.float32) for length in LENGTHS]


def build(rnn: Rnn, seed: int = 0) -> SequenceClassifier:
    torch.manual_seed(seed)
    network = SequenceClassifier(rnn, WIDTH, CLASSES).eval()
    network.mean.copy_(torch.linspace(2, 4, WIDTH))
    network.scale.copy_(torch.linspace(1, 3, WIDTH))
    return network


def batch(items: list[np.ndarray[Any, np.dtype[np.float32]]]) -> tuple[torch.Tensor, torch.Tensor]:
    x_BLE, lengths = pad(items)
    return torch.from_numpy(x_BLE), torch.from_numpy(lengths)


def describe(rnn: Rnn) -> str:
    return (
        f"{rnn.cell}-{rnn.units}-{rnn.layers}-{'bi' if rnn.bidirectional else 'uni'}{'-att' * rnn.attention}{rnn.heads}"
    )


@pytest.mark.parametrize("rnn", TABLE_1, ids=describe)
def test_every_architecture_learns_from_every_parameter(rnn: Rnn) -> None:
    network = build(rnn).train()
    x_BLE, lengths = batch(sequences())

    logits = network(x_BLE, lengths)
    assert logits.shape == (len(LENGTHS), CLASSES)
    assert network.embed(x_BLE, lengths).shape == (len(LENGTHS), network.embedding_width)
    assert logits.isfinite().all()

    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_embedding_is_torchs_last_state_on_each_unpadded_sequence(cell: Any, bidirectional: bool, layers: int) -> None:
    network = build(Rnn(cell=cell, units=8, layers=layers, bidirectional=bidirectional))
    plain = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](WIDTH, 8, layers, bidirectional=bidirectional)
    plain.load_state_dict(network.recurrent.state_dict())

    found = network.embed(*batch(sequences()))
    for embedding, sequence in zip(found, sequences(), strict=True):
        standardised = (torch.from_numpy(sequence) - network.mean) / network.scale
        outputs, _ = plain(standardised)  # [L, 8 or 16]: forward direction first, then backward
        expected = torch.cat([outputs[-1, :8], outputs[0, 8:]])  # the backward direction ends at the first step
        torch.testing.assert_close(embedding, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(network(*batch(sequences())), network.head(found))


def test_attention_is_the_softmax_of_scaled_products_added_to_the_input() -> None:
    network = build(Rnn(units=8, attention=True))
    attention = network.attention
    assert attention is not None
    seen = attention(*batch(sequences()))
    for found, sequence in zip(seen, sequences(), strict=True):
        x_LE = torch.from_numpy(sequence)
        weights_LL = (attention.query(x_LE) @ attention.key(x_LE).T / WIDTH**0.5).softmax(1)
        expected = x_LE + weights_LL @ attention.value(x_LE)
        torch.testing.assert_close(found[: len(sequence)], expected, rtol=1e-5, atol=1e-5)


def test_several_heads_are_attentions_on_their_own_parts_joined_by_a_matrix() -> None:
    """H heads of E / H numbers, rounded up: here 4 heads of 2 numbers over inputs of 6."""
    network = build(Rnn(units=8, attention=True, heads=4))
    attention = network.attention
    assert attention is not None and attention.query.weight.shape == (8, WIDTH)
    seen = attention(*batch(sequences()))
    for found, sequence in zip(seen, sequences(), strict=True):
        x_LE = torch.from_numpy(sequence)
        query, key, value = (each(x_LE) for each in (attention.query, attention.key, attention.value))
        heads = [
            (query[:, of] @ key[:, of].T / 2**0.5).softmax(1) @ value[:, of]
            for of in (slice(start, start + 2) for start in (0, 2, 4, 6))
        ]
        expected = x_LE + attention.join(torch.cat(heads, 1))
        torch.testing.assert_close(found[: len(sequence)], expected, rtol=1e-5, atol=1e-5)


def test_a_network_with_attention_of_before_heads_were_counted_is_the_same_network() -> None:
    network = build(Rnn(**{"units": 8, "attention": True}))
    assert sorted(name for name in network.state_dict() if "attention" in name) == [
        f"attention.{name}.weight" for name in ("key", "query", "value")
    ]


def test_tensors_have_the_names_of_stored_networks() -> None:
    names = list(build(Rnn(units=8, layers=1, bidirectional=False)).state_dict())
    recurrent = [f"recurrent.{kind}_l0" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert names == ["mean", "scale", *recurrent, "head.weight", "head.bias"]


def test_best_row_has_1024_numbers_of_2048_inputs() -> None:
    with torch.device("meta"):
        assert SequenceClassifier(Rnn(), 1536, 101).embedding_width == 1024


@pytest.mark.parametrize("rnn", TABLE_1, ids=describe)
@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan")])
def test_padding_changes_no_bit(rnn: Rnn, garbage: float) -> None:
    network = build(rnn)
    x_BLE, lengths = batch(sequences())
    longer = torch.full((len(LENGTHS), max(LENGTHS) + 37, WIDTH), garbage)
    for row, sequence in zip(longer, sequences(), strict=True):
        row[: len(sequence)] = torch.from_numpy(sequence)
    assert torch.equal(network(longer, lengths), network(x_BLE, lengths))


@pytest.mark.parametrize("rnn", TABLE_1, ids=describe)
def test_neighbours_in_the_batch_change_no_more_than_rounding(rnn: Rnn) -> None:
    network = build(rnn)
    together = network(*batch(sequences()))
    alone = torch.cat([network(*batch([sequence])) for sequence in sequences()])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_order_of_the_batch_is_kept() -> None:
    network = build(Rnn(units=8))
    forwards, backwards = network(*batch(sequences())), network(*batch(sequences()[::-1]))
    torch.testing.assert_close(forwards, backwards.flip(0), rtol=0, atol=1e-6)
    assert not torch.allclose(forwards[0], forwards[2], atol=1e-3)


@pytest.mark.parametrize("attention", [False, True])
def test_sequence_of_length_1(attention: bool) -> None:
    network = build(Rnn(units=8, attention=attention))
    assert network(torch.ones(1, 1, WIDTH), torch.tensor([1])).isfinite().all()


@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True)])
def test_dropout_acts_in_training_only(layers: int, bidirectional: bool) -> None:
    network = build(Rnn(units=8, layers=layers, bidirectional=bidirectional))
    inputs = batch(sequences())
    assert torch.equal(network(*inputs), network(*inputs))
    network.train()
    assert not torch.equal(network(*inputs), network(*inputs))
    network = build(Rnn(units=8, layers=layers, bidirectional=bidirectional, dropout=0.0))
    still = network(*inputs)
    assert torch.equal(network.train()(*inputs), still)


def test_dropout_stands_at_the_three_places() -> None:
    """Of a constant network, each place alone shows in what passes it."""
    network = build(Rnn(units=8, layers=2)).train()
    x_BLE, lengths = batch(sequences())
    passed: list[torch.Tensor] = []
    network.dropout.register_forward_hook(lambda module, args, output: passed.append(output))
    network(x_BLE, lengths)
    before_input, before_head = passed
    assert before_input.shape == x_BLE.shape
    assert before_head.shape == (len(LENGTHS), network.embedding_width)
    assert 0.2 < (before_input == 0).float().mean() < 0.8
    assert network.recurrent.dropout == 0.5  # torch's own: between the layers


def test_standardization_is_numpys_mean_and_population_deviation() -> None:
    frames = np.random.default_rng(0).normal([5, -3, 0, 1000], [2, 0.1, 1e-3, 7], size=(200, 4))
    frames = np.column_stack([frames, np.full(200, 0.1), np.zeros(200)])
    x = torch.from_numpy(frames)
    mean, scale = standardization(x.sum(0), x.square().sum(0), 200.0)
    assert mean.dtype == scale.dtype == torch.float32
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(scale[:4], frames.std(0)[:4], rtol=1e-5)
    assert scale[4:].tolist() == [1, 1]  # constants


def test_constants_of_any_size_scale_by_1() -> None:
    """Rounding leaves some with a variance a little below zero, some with one a little above."""
    x = torch.linspace(-100, 1000, 500).double().repeat(173, 1)
    squares_less_square = x.square().sum(0) / 173 - (x.sum(0) / 173).square()
    assert squares_less_square.min() < 0 < squares_less_square.max()
    mean, scale = standardization(x.sum(0), x.square().sum(0), 173.0)
    torch.testing.assert_close(mean, x[0].float())
    assert (scale == 1).all()


def test_parameters_are_counted_without_allocating() -> None:
    rnn = Rnn(cell="lstm", units=5, layers=1, bidirectional=False)
    gates = 4 * (5 * WIDTH + 5 * 5 + 5 + 5)  # input, recurrent, and torch's two biases
    assert parameters(rnn, WIDTH, CLASSES) == gates + 5 * CLASSES + CLASSES
    attended = dataclasses.replace(rnn, attention=True)
    assert parameters(attended, WIDTH, CLASSES) == parameters(rnn, WIDTH, CLASSES) + 3 * WIDTH**2
    assert parameters(Rnn(units=65_536, layers=8), 2048, 101) > 10**11  # 400 GB


def test_pad_appends_zeros() -> None:
    x_BLE, lengths = pad(sequences())
    assert (x_BLE.dtype, lengths.dtype) == (np.float32, np.int64)
    assert lengths.tolist() == LENGTHS
    for row, sequence in zip(x_BLE, sequences(), strict=True):
        np.testing.assert_array_equal(row[: len(sequence)], sequence)
        assert not row[len(sequence) :].any()
