"""The sweep on Ray Tune: each row is the network that `train rnn` would train, and no row is ever missing."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from actionrec.cluster.session import kept
from actionrec.storage import layout, models
from actionrec.storage.root import Root, begin
from actionrec.storage.samples import tune_inputs
from actionrec.table1.architectures import TABLE1
from tests.tiny_features import Clip, make_root
from tests.tiny_roots import actionrec, snapshot

ROWS = "tune.rows=[LSTM 256, GRU 512, S.BiGRU 512 + SVM]"
SETTINGS = {"streams": ["spatial"], "seeds": [0, 1]}


def noisy(clip: Clip, stream: str, found: NDArray[np.float32]) -> NDArray[np.float32]:
    """So that no network is right about everything."""
    rng = np.random.default_rng(list(clip.video_id.encode()))
    return found + rng.normal(0, 3, found.shape).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_session() -> Iterator[None]:
    with kept():
        yield


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = make_root(tmp_path_factory.mktemp("swept") / "root", settings=SETTINGS, sequence=noisy)
    assert actionrec("tune", "rnn", "--root", root.store.url, "--set", ROWS) == 0
    return root


def outcome(root: Root, name: str, seed: int) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(root.store.url, layout.trial(name, seed)).read_text())
    return found


def rows(root: Root) -> pd.DataFrame:
    return pd.read_parquet(Path(root.store.url, "tables/table1.parquet")).set_index("model")


def test_every_row_of_the_table_is_there_run_or_not(swept: Root) -> None:
    table = rows(swept)
    assert list(table.index[:-1]) == [row.name for row in TABLE1]
    done = ["LSTM 256", "GRU 512", "S. BiGRU 512", "S. BiGRU 512 + SVM"]
    assert sorted(table.index[table["status"] == "done"]) == sorted(done)
    assert set(table["status"].drop(done)[:-1]) == {"not run"}
    assert [list(seeds) for seeds in table.loc[done, "seeds"]] == [[0, 1]] * 4
    assert table.loc[done, "top1_sd"].notna().all()
    assert table["best_on_validation"].sum() == 1


def test_a_trial_is_the_network_that_train_rnn_trains(swept: Root, tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", settings=SETTINGS, sequence=noisy)
    row = (
        "--set",
        "rnn.cell=lstm",
        "--set",
        "rnn.units=256",
        "--set",
        "rnn.layers=1",
        "--set",
        "rnn.bidirectional=false",
    )
    assert actionrec("train", "rnn", "--root", root.store.url, *row) == 0
    for seed, folder in ((0, "models/rnn-spatial"), (1, "models/rnn-spatial/seed-1")):
        trained = json.loads(Path(root.store.url, folder, "history.json").read_text())
        tuned = outcome(swept, "LSTM 256", seed)["history"]
        assert isinstance(tuned, list)
        journal = Path(swept.store.url, layout.trial("LSTM 256", seed, "jsonl")).read_text()
        assert [json.loads(line) for line in journal.splitlines()] == tuned
        for name in ("train_loss", "val_loss", "val_top1", "lr", "samples"):
            assert [epoch[name] for epoch in tuned] == [epoch[name] for epoch in trained], (seed, name)


def test_the_svm_row_is_the_same_network_with_another_classifier(swept: Root) -> None:
    softmax, svm = (outcome(swept, name, 0) for name in ("S. BiGRU 512", "S. BiGRU 512 + SVM"))
    assert softmax["history"] == svm["history"]
    assert softmax["val_rank"] != svm["val_rank"] or softmax["test_rank"] != svm["test_rank"]


def test_a_rerun_writes_nothing_and_starts_no_ray(swept: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionrec.table1.sweep.session", None)
    for name in ("hold", "average"):  # reads no features and fits no SVM
        monkeypatch.setattr(f"actionrec.table1.trial.{name}", None)
    before = snapshot(Path(swept.store.url))
    assert actionrec("tune", "rnn", "--root", swept.store.url) == 0
    assert snapshot(Path(swept.store.url)) == before
    assert not list(Path(swept.store.url, "tune/rnn").glob("*.safetensors"))


def test_a_trial_that_fails_is_a_row_that_says_why_and_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_root(tmp_path / "root", settings={"streams": ["spatial"], "tune": {"max_failures": 0}})
    checkpoint = layout.trial("LSTM 256", 0, "safetensors")
    mine = models.seeded(begin(root, "tune", tune_inputs(root)), 0)
    models.put_checkpoint(root.store, checkpoint, mine, b"damaged")
    before = root.store.read(checkpoint)
    wanted = ("--set", "tune.rows=[LSTM 256, GRU 512]")
    assert actionrec("tune", "rnn", "--root", root.store.url, *wanted) == 1
    assert "1 trial failed" in " ".join(capsys.readouterr().err.split())
    table = rows(root)
    assert checkpoint in table.loc["LSTM 256", "status"] and "delete it" in table.loc["LSTM 256", "status"]
    assert table.loc["GRU 512", "status"] == "done"
    assert Path(root.store.url, checkpoint).read_bytes() == before  # nothing is written over

    finished = snapshot(Path(root.store.url, "tune"))[f"rnn/{Path(layout.trial('GRU 512', 0)).name}"]
    Path(root.store.url, checkpoint).unlink()
    assert actionrec("tune", "rnn", "--root", root.store.url) == 0
    assert set(rows(root).loc[["LSTM 256", "GRU 512"], "status"]) == {"done"}
    assert snapshot(Path(root.store.url, "tune"))[f"rnn/{Path(layout.trial('GRU 512', 0)).name}"] == finished


def test_asha_stops_what_falls_behind_and_its_row_says_so(tmp_path: Path) -> None:
    asha = {"scheduler": "asha", "grace_epochs": 1, "reduction": 2, "trials": 1}
    settings = {"streams": ["spatial"], "tune": asha, "seeds": [0, 1, 2], "rnn": {"max_epochs": 6, "stop_epochs": 6}}
    root = make_root(tmp_path / "root", settings=settings)
    assert actionrec("tune", "rnn", "--root", root.store.url, "--set", "tune.rows=[LSTM 256]") == 0
    found = [outcome(root, "LSTM 256", seed) for seed in (0, 1, 2)]
    assert {each["status"] for each in found} == {"done", "stopped"}
    assert all(not each["test_rank"] for each in found if each["status"] == "stopped")
    assert "stopped: after 1 epochs" in rows(root).loc["LSTM 256", "status"]


def test_an_unknown_row_is_named_and_nothing_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_root(tmp_path / "root", settings=SETTINGS)
    before = snapshot(tmp_path)
    assert actionrec("tune", "rnn", "--root", root.store.url, "--set", "tune.rows=[GRU 3]") == 2
    assert "no row 'GRU 3'" in " ".join(capsys.readouterr().err.split())
    assert snapshot(tmp_path) == before
