"""history.jsonl: every epoch once, readable at any moment, and written no more often than it may be."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from actionrec.config import Training
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.loop import Batch, fit
from actionrec.storage import journal
from actionrec.storage.journal import Journal
from actionrec.storage.local_store import LocalStore

KEY = "models/net/history.jsonl"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


def epochs(store: LocalStore) -> list[int]:
    return [json.loads(line)["epoch"] for line in store.read(KEY).splitlines()]


def history(count: int) -> list[Epoch]:
    return [Epoch(number, 1.0, 1.0, 0.5, 0.1, 3, 0.1, 0.0) for number in range(count)]


def test_it_is_written_at_once_then_at_most_so_often_and_whole_at_the_end(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    written = Journal(store, KEY)
    found = []
    for count in range(1, 8):
        written(history(count))
        found.append(len(epochs(store)))
        now[0] += journal.EVERY_S * 0.4
    assert found == [1, 1, 1, 4, 4, 4, 7]
    written.end(history(8))
    assert epochs(store) == list(range(8))


class Data:
    """The same batch again and again."""

    def training(self, epoch: int) -> list[Batch]:
        return [Batch((torch.eye(2),), torch.tensor([0, 1]), torch.ones(2))]

    validation = training


def test_a_training_that_goes_on_has_each_epoch_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "EVERY_S", 0.0)
    kept: list[bytes] = []

    def train(until: int, resume: bytes | None) -> None:
        torch.manual_seed(0)
        written = Journal(store, KEY)

        def on_epoch(history: list[Epoch], save: object) -> None:
            written(history)
            if len(history) == 2:
                kept.append(save())  # type: ignore[operator]
            if len(history) == until:
                raise KeyboardInterrupt

        fit(nn.Linear(2, 2), Data(), Training(max_epochs=9, stop_epochs=9), seed=0, resume=resume, on_epoch=on_epoch)

    with pytest.raises(KeyboardInterrupt):
        train(4, None)
    assert epochs(store) == [0, 1, 2, 3]  # two of them after the checkpoint
    with pytest.raises(KeyboardInterrupt):
        train(3, kept[0])
    assert epochs(store) == [0, 1, 2]
    train(99, kept[0])
    assert epochs(store) == list(range(9))
