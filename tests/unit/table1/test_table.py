"""Table I from outcomes written by hand: every row is there, its figures are right, and what is missing is said."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionrec import schema
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, begin
from actionrec.storage.samples import samples, tune_inputs
from actionrec.table1.architectures import TABLE1
from actionrec.table1.outcomes import BASELINE, Outcome, write_outcome
from actionrec.table1.table import Table1, write_table1
from tests.tiny_features import Clip, clips, make_root
from tests.tiny_roots import snapshot

CLASSES = 7
HISTORY = tuple({"epoch": n, "seconds": float(1 + n), "val_top1": 0.5} for n in range(3))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    settings = {"streams": ["spatial"], "seeds": [0, 1]}
    return make_root(tmp_path / "root", clips(classes=CLASSES, clips_per_group=1), settings)


def sweep(root: Root) -> str:
    return begin(root, "tune", tune_inputs(root))


def done(root: Root, name: str, seed: int, val: list[int], test: list[int], **more: Any) -> None:
    """val, test: ranks of the first videos; the others' are 6, the last of 7 classes."""
    counts = {split: len(samples(root, "spatial").of(split)) for split in ("val", "test")}
    ranks = [tuple(given + [6] * (counts[split] - len(given))) for split, given in (("val", val), ("test", test))]
    outcome = Outcome(seeded(sweep(root), seed), name, seed, "done", "", 10, 1, HISTORY, *ranks)
    write_outcome(root.output, dataclasses.replace(outcome, **more))


def table(root: Root, baseline: list[int] | None = None) -> Table1:
    counts = [len(samples(root, "spatial").of(split)) for split in ("val", "test")]
    val, test = (np.full(count, 6) for count in counts)
    test[: len(baseline or [])] = baseline or []
    return write_table1(root, sweep(root), averaged(val, test))


def averaged(val: np.ndarray, test: np.ndarray) -> Outcome:
    ranks = {"val_rank": tuple(val.tolist()), "test_rank": tuple(test.tolist())}
    return Outcome("f", BASELINE, 0, "done", **ranks)


def rows(found: Table1) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in found.table.to_pylist()}


def test_every_row_is_there_in_order_and_says_that_it_was_not_run(root: Root) -> None:
    found = rows(table(root))
    assert list(found) == [*(row.name for row in TABLE1), BASELINE]
    assert {found[row.name]["status"] for row in TABLE1} == {"not run"}
    assert all(found[row.name][name] is None for row in TABLE1 for name in ("top1", "top5", "val_top1", "parameters"))


def shown(root: Root, model: str) -> str:
    text = Path(root.store.url, layout.table("table1", "md")).read_text()
    return next(line for line in text.splitlines() if line.startswith(f"| {model} "))


def test_a_row_is_better_or_worse_only_where_the_interval_says_so(tmp_path: Path) -> None:
    splits = ["test"] * 12 + ["val", "train", "train"]
    videos = [
        Clip(f"c{label}/g{group}.avi", f"c{label}", f"c{label}_g{group}", split, False)
        for label in (0, 1)
        for group, split in enumerate(splits)
    ]
    root = make_root(tmp_path, videos, {"streams": ["spatial"]})
    wrong, right, some = [6] * 24, [0] * 24, [0] * 12 + [6] * 12
    for name, val, test in (("GRU 512", [0, 0], some), ("LSTM 256", [0], right), ("LSTM 512", [0], wrong)):
        done(root, name, 0, val, test)
    done(root, "LSTM 1024", 0, [0], [6, *some[:-1]])  # as often right, on other videos
    made = table(root, baseline=some)
    assert made.caution == ""
    for name, said in (("LSTM 256", "better"), ("LSTM 512", "worse"), ("LSTM 1024", "cannot be told")):
        assert f"| {said} |" in shown(root, name), name
    assert not any(word in shown(root, "GRU 512") for word in ("better", "worse", "told"))
    assert made.facts()["averaging over time"] == "cannot be told"


def test_of_too_few_test_videos_nothing_is_said(root: Root) -> None:
    done(root, "GRU 512", 0, [0, 0], [6] * 14)
    done(root, "LSTM 256", 0, [0], [0] * 14)  # 14 videos of 7 classes in a few groups: all right against all wrong
    made = table(root)
    assert made.caution.startswith("Nothing can be read into the test figures: there are 14 test videos of 7 classes")
    assert made.facts()["caution"] == made.caution
    assert made.caution in Path(root.store.url, layout.table("table1", "md")).read_text()
    assert "cannot be told" in shown(root, "LSTM 256")


def test_rows_that_were_not_run_are_one_line_under_the_table(root: Root) -> None:
    done(root, "GRU 512", 0, [0], [0])
    table(root)
    text = Path(root.store.url, layout.table("table1", "md")).read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| GRU 512", f"| {BASELINE}"]
    assert "77.83 %" in lines[2] and "93.88 %" in lines[2]  # as the paper prints them
    (said,) = [line for line in text.splitlines() if line.startswith("Not run: ")]
    assert said.count(",") == 17 and "S. BiGRU 512 + attention" in said


def test_figures_by_hand(root: Root) -> None:
    done(root, "GRU 512", 0, [0, 0], [0, 0, 0, 4, 5])  # of 7 and 14 videos
    done(root, "GRU 512", 1, [0], [0, 4])
    row = rows(table(root))["GRU 512"]
    assert (row["status"], row["seeds"], row["units"], row["parameters"], row["n_test"]) == (
        "done",
        [0, 1],
        512,
        10,
        14,
    )
    assert row["top1"] == pytest.approx((3 / 14 + 1 / 14) / 2)
    assert row["top1_sd"] == pytest.approx(np.std([3 / 14, 1 / 14], ddof=1))
    assert row["top5"] == pytest.approx((4 / 14 + 2 / 14) / 2)
    assert row["val_top1"] == pytest.approx((2 / 7 + 1 / 7) / 2)
    assert (row["epochs"], row["seconds_per_epoch"]) == (3, 2)
    assert row["top1_low"] < row["top1"] < row["top1_high"]


def test_validation_alone_marks_the_best_and_differences_are_paired(root: Root) -> None:
    done(root, "GRU 512", 0, [0, 0], [0])
    done(root, "LSTM 256", 0, [0], [0, 0, 0])
    found = rows(table(root, baseline=[0, 0]))
    assert [name for name, row in found.items() if row["best_on_validation"]] == ["GRU 512"]
    assert found["GRU 512"]["difference"] is None
    assert found["LSTM 256"]["difference"] == pytest.approx(2 / 14)
    assert 0 <= found["LSTM 256"]["difference_low"] <= 2 / 14 <= found["LSTM 256"]["difference_high"]
    assert found[BASELINE]["difference"] == pytest.approx(1 / 14)
    assert found["GRU 1024"]["difference"] is None


def test_what_failed_or_was_stopped_says_so_seed_by_seed(root: Root) -> None:
    done(root, "GRU 512", 0, [0], [0])
    for name, seed, status, reason in (
        ("GRU 512", 1, "failed", "the loss became nan"),
        ("GRU 1024", 0, "stopped", "after 4 epochs"),
        ("GRU 1024", 1, "stopped", "after 4 epochs"),
        ("LSTM 256", 0, "failed", "killed"),
    ):
        write_outcome(root.output, Outcome(seeded(sweep(root), seed), name, seed, status, reason))
    made = table(root)
    found = rows(made)
    assert found["GRU 512"]["status"] == "seed 0 done; seed 1 failed: the loss became nan"
    assert found["GRU 512"]["seeds"] == [0] and found["GRU 512"]["top1"] == pytest.approx(1 / 14)
    assert found["GRU 1024"]["status"] == "stopped: after 4 epochs" and found["GRU 1024"]["top1"] is None
    assert found["LSTM 256"]["status"] == "seed 0 failed: killed; seed 1 not run"
    assert made.failed == {"GRU 512, seed 1": "the loss became nan", "LSTM 256, seed 0": "killed"}
    text = Path(root.store.url, layout.table("table1", "md")).read_text()
    assert "seed 1 failed: the loss became nan" in text and "not adjusted" in text


def test_a_row_of_which_a_seed_was_stopped_or_failed_is_never_the_best(root: Root) -> None:
    """The seeds that a scheduler spares are those that did well."""
    done(root, "GRU 512", 0, [0, 0, 0], [0])
    done(root, "LSTM 256", 0, [0], [0])
    stopped = Outcome(seeded(sweep(root), 1), "GRU 512", 1, "stopped", "after 4 epochs")
    write_outcome(root.output, stopped)
    found = rows(table(root))
    assert [name for name, row in found.items() if row["best_on_validation"]] == ["LSTM 256"]
    assert found["GRU 512"]["val_top1"] > found["LSTM 256"]["val_top1"]
    assert found["GRU 512"]["difference"] is None
    write_outcome(root.output, dataclasses.replace(stopped, status="failed"))
    assert rows(table(root))["LSTM 256"]["best_on_validation"]


def test_a_test_video_without_the_stream_counts_as_wrong_and_is_not_judged(tmp_path: Path) -> None:
    """As in evaluate: every row of every table is of the same test videos."""
    root = make_root(tmp_path, clips(classes=7), {"streams": ["spatial", "audio"], "tune": {"stream": "audio"}})
    with_sound = [len(samples(root, "audio").of(split)) for split in ("val", "test")]
    assert with_sound[1] < 28
    ranks = [(0,) * count for count in with_sound]
    write_outcome(root.output, Outcome(seeded(sweep(root), 0), "GRU 512", 0, "done", "", 10, 1, HISTORY, *ranks))
    made = write_table1(root, sweep(root), averaged(*(np.zeros(count, np.int64) for count in with_sound)))
    for name in ("GRU 512", BASELINE):
        row = rows(made)[name]
        assert (row["n_test"], row["n_judged"]) == (28, with_sound[1])
        assert row["top1"] == pytest.approx(with_sound[1] / 28) and row["val_top1"] == with_sound[0] / 14


def test_tables_of_before_are_read_without_the_column_that_they_lack(root: Root) -> None:
    made = table(root).table.drop_columns("n_judged")
    read = schema.from_parquet(schema.to_parquet(made, "x"), schema.TABLE1, "table1")
    assert read.schema.equals(schema.TABLE1) and read["n_judged"].null_count == len(read)


def test_top5_is_null_where_it_would_be_one_for_anything(tmp_path: Path) -> None:
    root = make_root(tmp_path, clips(classes=3), {"streams": ["spatial"]})
    done(root, "GRU 512", 0, [], [0])
    assert rows(table(root))["GRU 512"]["top5"] is None


def test_a_table_that_says_the_same_is_not_written_again(root: Root) -> None:
    done(root, "GRU 512", 0, [0], [0])
    table(root)
    tables = Path(root.store.url, layout.TABLES)
    before = snapshot(tables)
    table(root)
    assert len(before) == 3 and snapshot(tables) == before


def test_a_damaged_outcome_and_one_of_another_sweep_are_named(root: Root) -> None:
    key = layout.trial("S. BiGRU 512 + SVM", 1)
    assert key == "tune/rnn/s-bigru-512-svm-seed-1.json"
    for content in (b"{", b"[]", b"{}", json.dumps({"fingerprint": 3}).encode()):
        root.output.put(key, content)
        with pytest.raises(InputError, match=f"{key}: damaged; delete it"):
            table(root)
    done(root, "S. BiGRU 512 + SVM", 1, [], [], fingerprint="another")
    with pytest.raises(InputError, match="other settings or data"):
        table(root)
