"""Fusing and judging on small roots: what the tables hold, what chooses, and what is refused."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.svm import LinearSVC

from actionrec import schema
from actionrec.errors import InputError
from actionrec.stages.evaluate import evaluate
from actionrec.stages.fuse import fuse, load_fused
from actionrec.stages.labelled import labelled
from actionrec.storage import layout
from actionrec.storage.root import Root, open_root
from tests.learnt_roots import learnt_root, put_embeddings
from tests.tiny_features import clips
from tests.tiny_roots import snapshot

STREAMS = ("spatial", "motion", "audio")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    made = learnt_root(tmp_path_factory.mktemp("judged") / "root", settings={"seeds": [0, 1]})
    fuse(made)
    assert evaluate(made).written
    return made


def table(root: Root, name: str) -> pd.DataFrame:
    return pd.read_parquet(Path(root.store.url, "tables", f"{name}.parquet"))


def test_every_subset_is_judged_by_every_classifier_once(root: Root) -> None:
    ablation = table(root, "ablation")
    subsets = [chosen for size in (1, 2, 3) for chosen in itertools.combinations(STREAMS, size)]
    expected = [
        (streams, method)
        for streams in subsets
        for method in (("softmax", "svm") if len(streams) == 1 else ("softmax", "svm", "average"))
    ]
    assert [(tuple(row.streams), row.method) for row in ablation.itertuples()] == expected
    assert (ablation["n_test"] == 24).all() and ablation["majority"].tolist() == [1 / 6] * len(expected)
    assert ablation["top5"].notna().all()  # six classes: top-5 says something
    inside = (ablation["top1_low"] <= ablation["top1"]) & (ablation["top1"] <= ablation["top1_high"])
    assert inside.all() and ablation["top1_sd"].notna().all()
    best = ablation["best_on_validation"]
    assert best.sum() == 1 and ablation["val_top1"][best].item() == ablation["val_top1"].max()


def test_the_figures_are_those_of_scikit_learn_called_directly(root: Root) -> None:
    """The SVM on two streams, by hand: standardised or scaled to length one, C = 1 / (2 lambda n)."""
    rows = table(root, "ablation")
    row = next(r for r in rows.itertuples() if tuple(r.streams) == ("spatial", "motion") and r.method == "svm")
    found = []
    for seed in (0, 1):
        sides = labelled(root, seed)
        normalization = load_fused(root, seed).normalization

        def features(side: str, sides: dict = sides, how: str = normalization) -> np.ndarray:
            blocks = []
            for stream in ("spatial", "motion"):
                train, own = (sides[s].embeddings.vectors[stream].astype(np.float64) for s in ("train", side))
                own = (own - train.mean(0)) / train.std(0) if how == "standardize" else own
                blocks.append(own if how == "standardize" else own / np.linalg.norm(own, axis=1, keepdims=True))
            return np.concatenate(blocks, axis=1)

        train, test = sides["train"], sides["test"]
        c = 1 / (2 * root.config.fusion.l2 * len(train.target))
        svm = LinearSVC(loss="hinge", C=c, random_state=seed, max_iter=10_000).fit(features("train"), train.target)
        found.append(float((svm.predict(features("test")) == test.target).mean()))
    assert row.top1 == pytest.approx(np.mean(found)) and row.top1_sd == pytest.approx(np.std(found, ddof=1))


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    one = learnt_root(tmp_path / "root")
    fuse(one)
    evaluate(one)
    assert table(one, "ablation")["top1_sd"].isna().all()
    assert "±" not in str(evaluate(one).facts())


def test_predictions_hold_every_video_and_agree_with_the_confusion(root: Root) -> None:
    predictions = table(root, "predictions")
    assert list(predictions["video_id"]) == [clip.video_id for clip in clips(classes=6)]
    assert {len(each) for each in predictions["classes"]} == {5}
    assert all((np.diff(scores) <= 0).all() for scores in predictions["scores"])
    test = predictions[predictions["split"] == "test"]
    pairs = {(label, classes[0]) for label, classes in zip(test["label"], test["classes"], strict=True)}
    confusion = table(root, "confusion")
    assert {(row.label, row.predicted) for row in confusion.itertuples()} == pairs
    assert confusion["videos"].sum() == len(test) == table(root, "classes")["n_test"].sum()


def test_table_two_says_what_is_published_and_what_is_measured(root: Root) -> None:
    rows = table(root, "table2").to_dict("records")
    assert [(row["source"], row["dataset"].split(":")[0]) for row in rows] == [
        ("published", "UCF101"),
        ("measured", "nowhere"),
    ]
    assert rows[0]["top1"] == 0.931 and "random" in rows[1]["weights"] and list(rows[1]["seeds"]) == [0, 1]
    text = Path(root.store.url, "tables/table2.md").read_text()
    assert "random" in text and "93.1 %" in text


def test_what_is_judged_is_not_judged_again(root: Root) -> None:
    again = open_root(root.store.url)
    before = snapshot(Path(root.store.url))
    fuse(again)
    assert not evaluate(again).written
    assert snapshot(Path(root.store.url)) == before


def test_test_videos_choose_nothing(tmp_path: Path) -> None:
    """Other embeddings and labels of the test split leave every model as it is, to the byte."""
    videos = clips(classes=6)
    mixed = [c._replace(label=f"c{5 - int(c.label[1:])}") if c.split == "test" else c for c in videos]
    bytes_of = []
    for name, given in (("plain", videos), ("mixed", mixed)):
        root = learnt_root(tmp_path / name, given)
        fuse(root)
        bytes_of.append(Path(root.store.url, "models/fusion/model.safetensors").read_bytes())
    assert bytes_of[0] == bytes_of[1]


def test_a_silent_video_is_judged_by_what_it_has(root: Root) -> None:
    silent = [clip.video_id for clip in clips(classes=6) if not clip.has_audio]
    chosen = table(root, "predictions").set_index("video_id").loc[silent]
    assert chosen["classes"].notna().all()


@pytest.mark.parametrize("rule", ["mask", "pattern"])
def test_either_rule_for_missing_streams_can_be_asked_for(rule: str, tmp_path: Path) -> None:
    root = learnt_root(tmp_path / "root", settings={"fusion": {"missing": rule}})
    model = fuse(root).models[0]
    assert model.missing == rule and len(model.classifiers) == (1 if rule == "mask" else 7)


def test_tampered_weights_are_refused(tmp_path: Path) -> None:
    root = learnt_root(tmp_path / "root")
    fuse(root)
    path = Path(root.store.url, "models/fusion/model.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=r"model\.safetensors: its sha256 is not the one recorded.*--replace fusion"):
        evaluate(root)
    assert snapshot(tmp_path) == before


def test_a_class_that_is_a_script_harms_nobody(tmp_path: Path) -> None:
    names = {"c0": "<script>alert(1)</script>", "c1": "танок | `x`"}
    videos = [clip._replace(label=names.get(clip.label, clip.label)) for clip in clips(classes=3)]
    root = learnt_root(tmp_path / "root", videos)
    fuse(root)
    evaluate(root)
    text = Path(root.store.url, "tables/classes.md").read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text and "танок \\| \\`x\\`" in text
    assert table(root, "ablation")["top5"].isna().all()  # three classes: top-5 would be 1 for anything


def test_embeddings_of_other_networks_are_refused(tmp_path: Path) -> None:
    root = learnt_root(tmp_path / "root")
    root.output.delete(layout.video_embeddings())
    with pytest.raises(InputError, match="train rnn"):
        fuse(root)


def test_other_settings_are_refused_and_replaced(tmp_path: Path) -> None:
    root = learnt_root(tmp_path / "root")
    fuse(root)
    evaluate(root)
    with pytest.raises(InputError, match=r"fusion\.l2 .*--replace fusion"):
        open_root(root.store.url, [{"fusion": {"l2": 0.5}}])
    replaced = open_root(root.store.url, [{"fusion": {"l2": 0.5}}], replace="fusion")
    fuse(replaced)
    assert not root.store.exists(layout.table("ablation"))  # it was of the other model
    assert evaluate(dataclasses.replace(replaced, replace=None)).written
    catalog = root.catalog()
    counts = pa.array([1, *[None] * (catalog.num_rows - 1)], pa.int32())  # a file that has changed since
    changed = catalog.set_column(catalog.schema.get_field_index("revision"), "revision", counts)
    root.store.put(layout.CATALOG, schema.to_parquet(changed, "x"))
    with pytest.raises(InputError, match="stage evaluate was made with other inputs test videos"):
        evaluate(dataclasses.replace(replaced, replace=None))


def test_noise_gives_chance(tmp_path: Path) -> None:
    """A test that must be able to fail in the other direction: without signal no classifier shines."""
    videos = clips(classes=6, groups=10, clips_per_group=4)
    root = learnt_root(tmp_path / "root", videos)
    put_embeddings(root, videos, noise=1000.0)
    fuse(root)
    evaluate(root)
    assert table(root, "ablation")["top1"].max() < 0.45
