"""Table II from judgements that are written by hand."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from actionrec import schema
from actionrec.errors import InputError
from actionrec.fusion.evaluate import evaluate
from actionrec.fusion.fuse import fuse, load_fused
from actionrec.learning import metrics
from actionrec.storage import layout
from actionrec.storage.embeddings import split_embeddings
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.stages import STAGES
from actionrec.table2 import baselines
from actionrec.table2.baselines import _videos_now, read_judgements, split_videos
from actionrec.table2.table import is_evaluated, write_table2
from tests.learnt_roots import learnt_root
from tests.tiny_roots import snapshot

SEEDS = [0, 1]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = learnt_root(tmp_path / "root", settings={"seeds": SEEDS, "fusion": {"bootstrap": 200}})
    fuse(made)
    evaluate(made)
    return made


def table(root: Root) -> pd.DataFrame:
    return pd.read_parquet(Path(root.store.url, "tables", "table2.parquet"))


def right_of(target: NDArray[np.int64], share: float, classes: int = 6) -> NDArray[np.float64]:
    """Scores of which the first `share` are right, the others wrong."""
    right = np.arange(len(target)) < share * len(target)
    return np.eye(classes)[np.where(right, target, (target + 1) % classes)]


def put(root: Root, name: str, ways: dict[str, tuple[bool, float, float]]) -> None:
    """What a system says: way -> whether it is one network alone, and its share of right answers on val and test."""
    fingerprint = begin(root, name, made_from(root, *STAGES[name].needs(root.config)))
    for seed in SEEDS:
        rows = []
        for method, (alone, *shares) in ways.items():
            for split, share in zip(("val", "test"), shares, strict=True):
                videos = split_videos(root, split)
                for video_id, scores in zip(videos.video_ids, right_of(videos.target, share), strict=True):
                    settings = json.dumps({"lambda": 0.01})
                    row = {"video_id": video_id, "split": split, "method": method, "alone": alone}
                    rows.append(row | {"settings": settings, "scores": scores.tolist()})
        stamp = f"{fingerprint}-{seed}-{_videos_now(root, name)}"
        data = schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.BASELINE_SCORES), stamp)
        root.output.put(layout.baseline_scores(name, root.further(seed)), data)


def test_a_row_a_system_in_the_papers_order_and_what_was_not_run_says_so(root: Root) -> None:
    write_table2(root)
    found = table(root)
    assert found["name"].tolist() == [
        "proposed",
        "two_stream",
        "multi_stream",
        "video2vec",
        "c3d",
        "i3d",
        "resnext3d_101",
    ]
    assert found["top1"].notna().tolist() == [True] + [False] * 6 and found["paper_top1"].notna().all()
    text = Path(root.store.url, "tables/table2.md").read_text()
    assert "Not run: Two-stream fusion \\[1\\], Multi-stream" in text or "Not run: Two-stream fusion [1]" in text
    assert "93.1 %" in text and "random" in text and "88.0" in text


def test_validation_chooses_among_the_ways_and_a_network_alone_is_never_chosen(root: Root) -> None:
    ways = {"spatial": (True, 1.0, 1.0), "mean": (False, 0.5, 0.9), "svm": (False, 0.75, 0.25)}
    put(root, "two_stream", ways)
    write_table2(root)
    rows = table(root)[table(root)["name"] == "two_stream"].set_index("method")
    assert list(rows.index) == list(ways) and rows["chosen"].tolist() == [False, False, True]
    assert rows["val_top1"].to_dict() == {"spatial": 1.0, "mean": 0.5, "svm": 0.75}
    assert rows.loc["svm", "top1"] == pytest.approx(0.25, abs=0.05) and rows.loc["svm", "top1_sd"] == 0
    assert rows["settings"].tolist() == ["lambda 0.01"] * 3 and list(rows.loc["svm", "seeds"]) == SEEDS


def test_the_difference_is_paired_with_the_proposed_model_video_by_video(root: Root) -> None:
    put(root, "video2vec", {"nearest": (False, 0.5, 0.5)})
    write_table2(root)
    row = table(root)[table(root)["name"] == "video2vec"].iloc[0]
    test = split_videos(root, "test")
    proposed = []
    for seed in SEEDS:
        model = load_fused(root, seed)
        side = split_embeddings(root, seed)["test"]
        assert list(side.embeddings.video_ids) == list(test.video_ids)
        proposed.append(metrics.ranks(model.decisions(side.embeddings.of(model.streams)), test.target) < 1)
    own = right_of(test.target, 0.5).argmax(axis=1) == test.target
    difference = own - np.mean(proposed, axis=0)
    assert row["difference"] == pytest.approx(difference.mean())
    assert (row["difference_low"], row["difference_high"]) == metrics.interval(difference, test.groups, 200, 0)


def test_the_proposed_models_row_is_that_of_the_evaluation(root: Root) -> None:
    write_table2(root)
    own = table(root).iloc[0]
    ablation = pd.read_parquet(Path(root.store.url, "tables/ablation.parquet"))
    row = next(
        r for r in ablation.to_dict("records") if list(r["streams"]) == list(own["streams"]) and r["method"] == "svm"
    )
    for name in ("val_top1", "top1", "top1_sd", "top1_low", "top1_high", "top5", "n_test", "n_judged"):
        assert own[name] == row[name]


def test_a_table_that_says_the_same_is_not_written_again(root: Root) -> None:
    put(root, "two_stream", {"mean": (False, 0.5, 0.9)})
    write_table2(root)
    before = snapshot(Path(root.store.url))
    write_table2(root)
    assert snapshot(Path(root.store.url)) == before


def test_a_system_of_which_a_seed_is_missing_is_not_run(root: Root) -> None:
    put(root, "two_stream", {"mean": (False, 0.5, 0.9)})
    root.output.delete(layout.baseline_scores("two_stream", 1))
    write_table2(root)
    assert table(root)["top1"].notna().sum() == 1


def test_scores_of_something_else_are_refused_by_name(root: Root) -> None:
    put(root, "two_stream", {"mean": (False, 0.5, 0.9)})
    key = layout.baseline_scores("two_stream")
    path = Path(root.store.url, key)
    path.write_bytes(Path(root.store.url, layout.baseline_scores("two_stream", 1)).read_bytes())
    with pytest.raises(
        InputError, match=r"baselines/two_stream/scores\.parquet: made with other.*--replace two_stream"
    ):
        read_judgements(root, "two_stream", 0)
    put(root, "two_stream", {"mean": (False, 0.5, 0.9)})
    rows = pq_rows(path)[:-1]
    path.write_bytes(schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.BASELINE_SCORES), fingerprint(path)))
    with pytest.raises(
        InputError, match=r"scores\.parquet: damaged; delete it and run `actionrec baseline two_stream`"
    ):
        read_judgements(root, "two_stream", 0)


def test_other_test_videos_make_a_system_out_of_date_until_it_judges_again(root: Root) -> None:
    """Neither its mistakes, nor the end of `evaluate`."""
    put(root, "two_stream", {"mean": (False, 0.5, 0.9)})
    catalog = schema.from_parquet(root.store.read(layout.CATALOG), schema.CATALOG, "x")
    rows = catalog.to_pylist()
    more = next(row for row in rows if row["split"] == "test") | {"video_id": "another.avi", "group": "another"}
    table_now = pa.Table.from_pylist([*rows, more], schema=schema.CATALOG)
    assert read_judgements(root, "two_stream", 0) is not None
    root.store.put(layout.CATALOG, schema.to_parquet(table_now, "x"))
    assert read_judgements(root, "two_stream", 0) is None
    root.store.put(layout.CATALOG, schema.to_parquet(catalog, "x"))
    lost = dataclasses.replace(root, config=dataclasses.replace(root.config, streams=("spatial", "motion")))
    put(root, "multi_stream", {"mean": (False, 0.5, 0.9)})
    assert read_judgements(root, "multi_stream", 0) is not None and read_judgements(lost, "multi_stream", 0) is None


def test_what_is_out_of_date_is_left_out_of_the_table_by_name(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "two_stream", {"mean": (False, 0.5, 0.9)})
    monkeypatch.setattr(baselines, "_videos_now", lambda root, name: "others")
    write_table2(root)
    row = table(root).set_index("name").loc["two_stream"]
    assert row["status"] == "out of date" and np.isnan(row["top1"])
    assert "Out of date: Two-stream fusion" in Path(root.store.url, "tables/table2.md").read_text()


def test_table_two_waits_for_every_seed_of_the_proposed_model(root: Root) -> None:
    assert is_evaluated(root)
    assert not is_evaluated(dataclasses.replace(root, config=dataclasses.replace(root.config, seeds=(0, 1, 2))))


def pq_rows(path: Path) -> list[dict]:
    return schema.from_parquet(path.read_bytes(), schema.BASELINE_SCORES, "x").to_pylist()


def fingerprint(path: Path) -> str:
    return str(schema.fingerprint_of(path.read_bytes()))


def test_refitted_has_no_figure_on_validation_and_is_the_row(tmp_path: Path) -> None:
    root = learnt_root(tmp_path / "root", settings={"fusion": {"refit": True, "bootstrap": 50}})
    fuse(root)
    evaluate(root)
    write_table2(dataclasses.replace(root))
    own = table(root).iloc[0]
    assert own["method"] == "svm, refitted" and np.isnan(own["val_top1"]) and own["chosen"]
