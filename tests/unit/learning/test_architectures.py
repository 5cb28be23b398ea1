"""The rows of Table I."""

import pytest

from actionrec.config import Rnn
from actionrec.learning.architectures import BEST, TABLE1
from actionrec.learning.rnn import SequenceClassifier, parameters

NAMED = {row.name: row for row in TABLE1}


def test_seventeen_networks_and_two_variants_of_the_best() -> None:
    assert len(NAMED) == len(TABLE1) == 19
    networks = {row.trained_as() for row in TABLE1}
    assert len(networks) == 18 and len([row for row in networks if not row.attention]) == 17
    assert {row.name: row.trained_as().name for row in TABLE1 if row.trained_as() != row} == {
        "S.BiGRU 512 + SVM": "S.BiGRU 512"
    }


def test_the_best_row_is_the_default_network() -> None:
    assert BEST.of(Rnn()) == Rnn()


def test_a_row_changes_the_architecture_and_nothing_else() -> None:
    rnn = Rnn(lr=0.5, dropout=0.1, attention=True)
    found = NAMED["LSTM 1024"].of(rnn)
    assert (found.cell, found.units, found.layers, found.bidirectional, found.attention) == (
        "lstm",
        1024,
        1,
        False,
        False,
    )
    assert (found.lr, found.dropout) == (0.5, 0.1)


@pytest.mark.parametrize("name", NAMED)
def test_the_parameters_are_those_of_the_formula(name: str) -> None:
    """A gate has an input and a recurrent matrix and two biases; a GRU has 3, an LSTM 4."""
    row, width, classes = NAMED[name], 12, 5
    gates, directions, inputs, expected = {"gru": 3, "lstm": 4}[row.cell], 1 + row.bidirectional, width, 0
    for _ in range(row.layers):
        expected += directions * gates * row.units * (inputs + row.units + 2)
        inputs = directions * row.units
    expected += (inputs + 1) * classes + (3 * width * width if row.attention else 0)
    assert parameters(row.of(Rnn()), width, classes) == expected


def test_a_row_builds_a_network() -> None:
    network = SequenceClassifier(NAMED["BiLSTM 256"].of(Rnn()), 4, 3)
    assert network.embedding_width == 512
