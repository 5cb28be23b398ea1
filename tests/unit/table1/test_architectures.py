"""The rows of Table I."""

import json
from pathlib import Path

import pytest

from actionrec.config import Rnn
from actionrec.errors import InputError
from actionrec.learning.rnn import SequenceClassifier, parameters
from actionrec.storage import layout
from actionrec.table1.architectures import BEST, HEADS, TABLE1, chosen
from actionrec.table1.outcomes import BASELINE

NAMED = {row.name: row for row in TABLE1}


def test_seventeen_networks_and_two_variants_of_the_best() -> None:
    assert len(NAMED) == len(TABLE1) == 19
    networks = {row.trained_as() for row in TABLE1}
    assert len(networks) == 18 and len([row for row in networks if not row.attention]) == 17
    assert {row.name: row.trained_as().name for row in TABLE1 if row.trained_as() != row} == {
        "S. BiGRU 512 + SVM": "S. BiGRU 512"
    }


def test_stacked_rows_are_those_of_the_paper() -> None:
    stacked = [
        (row.cell, row.bidirectional, row.units) for row in TABLE1 if row.layers == 2 and row.trained_as() == row
    ]
    lstm, gru = [("lstm", False, 512), ("lstm", False, 1024)], [("gru", False, 512), ("gru", False, 1024)]
    both = [("gru", True, 512), ("gru", True, 1024), ("lstm", True, 512), ("gru", True, 512)]  # the last with attention
    assert stacked == [*lstm, *gru, *both]


def test_the_kept_trials_of_a_network_lie_where_they_lay_before_names_had_spaces() -> None:
    assert layout.trial("S. BiGRU 512", 2) == layout.trial("S.BiGRU 512", 2) == "tune/rnn/s-bigru-512-seed-2.json"


def test_rows_are_chosen_by_name_in_the_tables_order() -> None:
    assert chosen(()) == list(TABLE1)
    assert [row.name for row in chosen(["S.BiGRU 512 + SVM", "lstm 256"])] == ["LSTM 256", "S. BiGRU 512 + SVM"]
    with pytest.raises(InputError, match=r"tune\.rows: there is no row 'BiLSTM 256'.*--set tune\.rows.*BiLSTM 512"):
        chosen(["LSTM 256", "BiLSTM 256"])


def test_the_best_row_is_the_default_network() -> None:
    assert BEST.of(Rnn()) == Rnn()


def test_a_row_changes_the_architecture_and_nothing_else() -> None:
    rnn = Rnn(lr=0.5, dropout=0.1, attention=True, heads=8)
    found = NAMED["LSTM 1024"].of(rnn)
    assert (found.cell, found.units, found.layers, found.bidirectional, found.attention) == (
        "lstm",
        1024,
        1,
        False,
        False,
    )
    assert (found.lr, found.dropout, found.heads) == (0.5, 0.1, 1)


@pytest.mark.parametrize("name", NAMED)
def test_the_parameters_are_those_of_the_formula(name: str) -> None:
    """A gate has an input and a recurrent matrix and two biases; a GRU has 3, an LSTM 4."""
    row, width, classes = NAMED[name], 12, 5
    gates, directions, inputs, expected = {"gru": 3, "lstm": 4}[row.cell], 1 + row.bidirectional, width, 0
    for _ in range(row.layers):
        expected += directions * gates * row.units * (inputs + row.units + 2)
        inputs = directions * row.units
    inner = -(-width // HEADS) * HEADS
    expected += (inputs + 1) * classes + (4 * width * inner if row.attention else 0)
    assert parameters(row.of(Rnn()), width, classes) == expected


def test_a_row_builds_a_network() -> None:
    network = SequenceClassifier(NAMED["BiLSTM 512"].of(Rnn()), 4, 3)
    assert network.embedding_width == 1024


def test_the_kept_outcomes_are_of_rows_that_exist_and_of_their_networks() -> None:
    """docs/results: what was trained on features of 512 numbers of 14 classes."""
    folder = Path(__file__).parents[3].joinpath("docs/results/ucf101_vgg14")
    baseline = layout.trial(BASELINE, 0).rpartition("/")[2]  # no network
    kept = sorted(path for path in folder.glob("*.json") if path.name != baseline)
    rows = {layout.trial(row.name, seed).rpartition("/")[2]: row for row in TABLE1 for seed in range(3)}
    assert kept and {path.name for path in kept} <= set(rows)
    for path in kept:
        assert json.loads(path.read_text())["parameters"] == parameters(rows[path.name].of(Rnn()), 512, 14), path.name
