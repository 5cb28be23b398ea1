"""From somebody's own frame features to tables, by the command line and without any video."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from actionrec.cluster.session import session
from actionrec.storage.root import open_root
from tests.tiny_roots import actionrec, snapshot

WIDTH, FRAMES, CLASSES, GROUPS = 6, 4, ("Їжа", "<b>", 'quo"te'), 8
SETTINGS = {
    "rnn": {"units": 8, "batch": 8, "max_epochs": 3},
    "anomaly": {"hidden": 8, "bottleneck": 4, "max_epochs": 2},
}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of each group; the class is a shift of one number."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("features")
    rows = [(c, g, n) for c in range(len(CLASSES)) for g in range(1, GROUPS + 1) for n in (1, 2)]
    feat = rng.normal(size=(len(rows), FRAMES, WIDTH)).astype(np.float16)
    feat[np.arange(len(rows)), :, [c for c, _, _ in rows]] += 3
    np.savez_compressed(
        folder / "features.npz",
        feat=feat,
        label=np.array([c for c, _, _ in rows]),
        name=np.array([f"{CLASSES[c]}/v_g{g:02d}_c{n:02d}.avi" for c, g, n in rows]),
        group=np.array([g for _, g, _ in rows]),
        is_train=np.array([g > 2 for _, g, _ in rows]),
    )
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder / "features.npz"


@pytest.fixture(scope="module")
def imported(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported") / "root"
    settings = features.parent / "settings.yaml"
    assert actionrec("import", features, "--root", root, "--config", settings) == 0
    return root


def test_every_row_becomes_a_video_with_its_class_group_and_split(imported: Path, features: Path) -> None:
    stored = np.load(features)
    catalog = pd.read_parquet(imported / "catalog.parquet").set_index("video_id")
    assert set(catalog.index) == set(stored["name"])
    assert catalog["path"].isna().all() and catalog["bytes"].isna().all()
    for name, label, group, is_train in zip(*(stored[k] for k in ("name", "label", "group", "is_train")), strict=True):
        row = catalog.loc[name]
        known = (CLASSES[label], label, f"{CLASSES[label]}_g{group:02d}")
        assert (row["label"], row["class_index"], row["group"]) == known
        assert row["split"] in (("train", "val") if is_train else ("test",))
    validated = {group.rpartition("_g")[2] for group in catalog.loc[catalog["split"] == "val", "group"]}
    trained = {group.rpartition("_g")[2] for group in catalog.loc[catalog["split"] == "train", "group"]}
    assert validated and trained and not validated & trained  # the same numbers in every class


def test_the_sequences_are_the_files_own(imported: Path, features: Path) -> None:
    stored = np.load(features)
    files = f"read_parquet('{imported}/features/spatial/*.parquet')"
    rows = duckdb.sql(f"select video_id, frame_index, time_s, embedding from {files}").fetchall()
    assert len(rows) == len(stored["name"])
    expected = dict(zip(stored["name"].tolist(), stored["feat"].astype(np.float32), strict=True))
    for video_id, frame_index, time_s, embedding in rows:
        assert frame_index == list(range(FRAMES)) and time_s is None
        np.testing.assert_array_equal(np.array(embedding, np.float32), expected[video_id])


def test_a_rerun_writes_nothing_and_what_was_lost_is_written_again(imported: Path, features: Path) -> None:
    before = snapshot(imported)
    assert actionrec("import", features, "--root", imported) == 0
    assert snapshot(imported) == before
    assert {path.name for path in (imported / "features").iterdir()} == {"plan", "spatial", "status"}
    mark = next((imported / "features/status").glob("spatial-*1.parquet"))
    content = mark.read_bytes()
    mark.unlink()
    assert actionrec("import", features, "--root", imported) == 0
    assert mark.read_bytes() == content


def test_another_file_is_refused_and_nothing_is_written_over(
    imported: Path, features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = dict(np.load(features))
    np.savez(tmp_path / "other.npz", **stored | {"feat": stored["feat"] + 1})
    before = snapshot(imported)
    assert actionrec("import", tmp_path / "other.npz", "--root", imported) == 2
    assert "--replace catalog" in capsys.readouterr().err
    original = features.read_bytes()
    try:  # under the same name
        features.write_bytes((tmp_path / "other.npz").read_bytes())
        assert actionrec("import", features, "--root", imported) == 2
        assert "imported features" in " ".join(capsys.readouterr().err.split())
    finally:
        features.write_bytes(original)
    assert snapshot(imported) == before


@pytest.mark.parametrize(
    "verb",
    [("extract",), ("catalog",), ("predict", __file__), ("train", "spatial", "--set", "finetune.blocks=1")],
    ids=lambda verb: verb[0],
)
def test_what_needs_videos_says_that_there_are_none(
    imported: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    before = snapshot(imported)
    assert actionrec(*verb, "--root", imported) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "import" in said and "Traceback" not in said
    assert snapshot(imported) == before


def test_a_bad_file_makes_no_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    for name in ("bad.npz", "missing.npz", "bad.mat"):
        assert actionrec("import", tmp_path / name, "--root", tmp_path / "root") == 2
        assert name in "".join(capsys.readouterr().err.split())
    assert not (tmp_path / "root").exists()


def test_run_goes_from_features_to_tables_which_need_the_file_no_more(features: Path, tmp_path: Path) -> None:
    root, settings = tmp_path / "root", features.parent / "settings.yaml"
    copy = shutil.copy(features, tmp_path / "copy.npz")
    with session():
        assert actionrec("run", copy, "--root", root, "--config", settings) == 0
    assert open_root(str(root)).config.streams == ("spatial",)
    table: Any = pd.read_parquet(root / "tables/ablation.parquet")
    assert set(table["method"]) == {"softmax", "svm"} and set(table["n_test"]) == {12}
    assert "imported features" in (root / "tables/ablation.md").read_text()
    before = snapshot(root)
    assert actionrec("run", "--root", root) == 0
    copy.unlink()
    assert actionrec("run", "--root", root) == 0
    assert actionrec("import", copy, "--root", root) == 2
    assert snapshot(root) == before
