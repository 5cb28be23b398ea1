"""The search over the SVM on Ray Tune, and fusion that goes by it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from actionrec.cluster.session import kept
from actionrec.storage.embeddings import split_embeddings
from actionrec.storage.root import Root, open_root
from tests.learnt_roots import learnt_root, put_embeddings
from tests.tiny_features import clips
from tests.tiny_roots import actionrec, snapshot

VIDEOS = clips(classes=6)
TWO_STREAMS = {"streams": ["spatial", "motion"], "seeds": [0, 1], "tune": {"l2": [1e-3]}}


@pytest.fixture(scope="module", autouse=True)
def one_session() -> Iterator[None]:
    with kept():
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = learnt_root(tmp_path_factory.mktemp("searched") / "root", VIDEOS, TWO_STREAMS)
    for seed in (0, 1):
        put_embeddings(root, VIDEOS, seed, noise=3.0)  # so that settings differ
    assert actionrec("tune", "svm", "--root", root.store.url) == 0
    return root


def rows(root: Root) -> pd.DataFrame:
    return pd.read_parquet(Path(root.store.url, "tables/svm.parquet"))


def scaled(train: NDArray[np.float32], own: NDArray[np.float32], how: str) -> NDArray[np.float64]:
    exact, base = own.astype(np.float64), train.astype(np.float64)
    if how == "standardize":
        return (exact - base.mean(0)) / base.std(0)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True) if how == "l2" else exact


def test_every_row_is_scikit_learn_called_directly_on_validation(searched: Root) -> None:
    table = rows(searched)
    assert len(table) == 3 * 3 * 2 and set(table["l2"]) == {1e-3, 1e-2} and table["chosen"].sum() == 1
    assert table["converged"].sum() >= 12
    for row in table.itertuples():
        found = []
        for seed in (0, 1):
            sides = split_embeddings(searched, seed)
            train, val = sides["train"], sides["val"]

            def features(side: str, sides: dict = sides, row: object = row) -> NDArray[np.float64]:
                of = [[sides[each].embeddings.vectors[s] for each in ("train", side)] for s in row.streams]
                return np.concatenate([scaled(*pair, row.normalization) for pair in of], axis=1)

            machine = LinearSVC(
                loss="hinge", C=1 / (2 * row.l2 * len(train.target)), tol=1e-8, random_state=seed, max_iter=1_000_000
            ).fit(features("train"), train.target)
            found.append(float((machine.predict(features("val")) == val.target).mean()))
        if row.converged:
            assert row.val_top1 == pytest.approx(np.mean(found)), row
    assert table["val_top1"][table["chosen"]].item() == table["val_top1"].max()


def test_fusion_goes_by_it_and_says_so(searched: Root, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["train", "fusion"], ["evaluate"]):
        assert actionrec(*verb, "--root", searched.store.url) == 0
    assert "the best of tune svm" in capsys.readouterr().out
    chosen = rows(searched).set_index("chosen").loc[True]
    model = json.loads(Path(searched.store.url, "models/fusion/config.json").read_text())
    assert list(model["widths"]) == list(chosen["streams"])
    assert (model["normalization"], model["l2"]) == (chosen["normalization"], chosen["l2"])
    ablation = pd.read_parquet(Path(searched.store.url, "tables/ablation.parquet"))
    assert {tuple(streams) for streams in ablation["streams"]} == {("spatial",), ("motion",), ("spatial", "motion")}


def test_a_rerun_writes_nothing_and_starts_no_ray(searched: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionrec.fusion.search.session", None)
    before = snapshot(Path(searched.store.url))
    assert actionrec("tune", "svm", "--root", searched.store.url) == 0
    assert snapshot(Path(searched.store.url)) == before


def test_a_killed_search_goes_on_and_fusion_waits_for_it(
    searched: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = learnt_root(tmp_path / "root", VIDEOS, TWO_STREAMS)
    for seed in (0, 1):
        put_embeddings(root, VIDEOS, seed, noise=3.0)
    for path in [*sorted(Path(searched.store.url).glob("tune/svm/*"))[:7], Path(searched.store.url, "stages/svm.json")]:
        target = Path(root.store.url, path.relative_to(searched.store.url))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    before = snapshot(Path(root.store.url, "tune"))
    assert actionrec("train", "fusion", "--root", root.store.url) == 2
    assert "has not ended" in " ".join(capsys.readouterr().err.split())
    assert actionrec("tune", "svm", "--root", root.store.url) == 0
    assert before.items() <= snapshot(Path(root.store.url, "tune")).items()
    pd.testing.assert_frame_equal(rows(root), rows(searched))


def test_test_videos_choose_nothing(searched: Root, tmp_path: Path) -> None:
    mixed = [c._replace(label=f"c{5 - int(c.label[1:])}") if c.split == "test" else c for c in VIDEOS]
    root = learnt_root(tmp_path / "root", mixed, TWO_STREAMS)
    for seed in (0, 1):
        put_embeddings(root, VIDEOS, seed, noise=3.0)
    assert actionrec("tune", "svm", "--root", root.store.url) == 0
    pd.testing.assert_frame_equal(rows(root), rows(searched))


def test_fusion_made_without_the_search_is_not_mixed_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = learnt_root(tmp_path / "root", VIDEOS, {"streams": ["spatial"], "tune": {"l2": []}})
    assert actionrec("train", "fusion", "--root", root.store.url) == 0
    assert actionrec("tune", "svm", "--root", root.store.url) == 0
    assert actionrec("train", "fusion", "--root", root.store.url) == 2
    assert "--replace fusion" in " ".join(capsys.readouterr().err.split())
    assert actionrec("train", "fusion", "--root", root.store.url, "--replace", "fusion") == 0
    assert open_root(root.store.url).begun("svm")


def test_a_damaged_attempt_is_named_and_kept(searched: Root, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted(Path(searched.store.url).glob("tune/svm/*.json"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    try:
        assert actionrec("tune", "svm", "--root", searched.store.url) == 2
        assert path.name in capsys.readouterr().err.replace("\n", "") and path.read_bytes() == whole[:20]
    finally:
        path.write_bytes(whole)
