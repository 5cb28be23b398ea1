"""Fusing and judging on small roots: what the tables hold, what chooses, and what is refused."""

import dataclasses
import itertools
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.svm import LinearSVC

from actionrec import schema
from actionrec.config import Fusion
from actionrec.errors import InputError
from actionrec.fusion import attempts
from actionrec.fusion.attempts import Attempt, best_settings, write_attempts, write_svm
from actionrec.fusion.evaluate import evaluate
from actionrec.fusion.fuse import fuse, load_fused
from actionrec.learning import fusion, metrics
from actionrec.storage import layout
from actionrec.storage.embeddings import split_embeddings
from actionrec.storage.root import Root, begin, made_from, open_root
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
    silent = sum(clip.split == "test" and not clip.has_audio for clip in clips(classes=6))
    only_audio = [tuple(streams) == ("audio",) for streams in ablation["streams"]]
    assert set(ablation["n_judged"][only_audio]) == {24 - silent} and silent > 0
    assert set(ablation["n_judged"][[not each for each in only_audio]]) == {24}
    best = ablation["best_on_validation"]
    assert best.sum() == 1 and ablation["val_top1"][best].item() == ablation["val_top1"].max()


def test_the_figures_are_those_of_scikit_learn_called_directly(root: Root) -> None:
    """The SVM on two streams, by hand: standardised or scaled to length one, C = 1 / (2 lambda n)."""
    rows = table(root, "ablation")
    row = next(r for r in rows.itertuples() if tuple(r.streams) == ("spatial", "motion") and r.method == "svm")
    found = []
    for seed in (0, 1):
        sides = split_embeddings(root, seed)

        def features(side: str, how: str, sides: dict = sides) -> np.ndarray:
            blocks = []
            for stream in ("spatial", "motion"):
                train, own = (sides[s].embeddings.vectors[stream].astype(np.float64) for s in ("train", side))
                unit = own / np.linalg.norm(own, axis=1, keepdims=True)
                blocks.append({"standardize": (own - train.mean(0)) / train.std(0), "l2": unit, "none": own}[how])
            return np.concatenate(blocks, axis=1)

        train, c = sides["train"], 1 / (2 * root.config.fusion.l2 * len(sides["train"].target))
        tried = []
        for how in ("standardize", "l2", "none"):  # the row's own best on validation, of equals the first
            machine = LinearSVC(loss="hinge", C=c, random_state=seed, max_iter=10_000)
            machine.fit(features("train", how), train.target)
            tried.append([(machine.predict(features(s, how)) == sides[s].target).mean() for s in ("val", "test")])
        found.append(max(tried, key=lambda pair: pair[0])[1])
    assert row.top1 == pytest.approx(np.mean(found)) and row.top1_sd == pytest.approx(np.std(found, ddof=1))


def test_each_row_has_its_own_best_weight_and_normalization(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of the winner: a root whose search found other settings best for other streams."""
    root = learnt_root(tmp_path / "root", settings={"streams": ["spatial", "motion"], "tune": {"l2": [1.0]}})
    put_embeddings(root, clips(classes=6), noise=3.0)
    fingerprint = begin(root, "svm", made_from(root, "embeddings"))
    wanted = {("spatial",): ("l2", 1.0), ("motion",): ("none", 0.01), ("spatial", "motion"): ("standardize", 0.01)}
    for streams, chosen in wanted.items():
        for normalization in ("standardize", "l2", "none"):
            top1 = [(l2, float((normalization, l2) == chosen)) for l2 in (0.01, 1.0)]
            key = layout.svm_trial(streams, normalization, 0)
            write_attempts(root.output, key, f"{fingerprint}-0", [Attempt(l2, each, True) for l2, each in top1])
    monkeypatch.setattr(attempts, "read_attempts", count := Mock(wraps=attempts.read_attempts))
    write_svm(root)
    assert count.call_count == 9  # each trial's file once, not once for each weight
    assert {streams: (each.normalization, each.l2) for streams, each in best_settings(root).items()} == wanted
    fuse(root)
    evaluate(root)
    sides, found = split_embeddings(root, 0), table(root, "ablation")
    for streams, (normalization, l2) in wanted.items():
        train, val, test = (sides[split].embeddings.of(streams) for split in ("train", "val", "test"))
        knobs = Fusion(normalization=normalization, l2=l2)
        model = fusion.fit(
            train, sides["train"].target, val, sides["val"].target, [f"c{i}" for i in range(6)], knobs, 0
        )
        row = next(r for r in found.itertuples() if tuple(r.streams) == streams and r.method == "svm")
        assert row.top1 == pytest.approx(metrics.top_k(model.decisions(test), sides["test"].target, 1))


def test_a_refitted_model_has_a_row_more_and_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    plain, refitted = (
        learnt_root(tmp_path / str(refit), settings={"fusion": {"refit": refit}}) for refit in (False, True)
    )
    for each in (plain, refitted):
        put_embeddings(each, clips(classes=6), noise=2.0)
        fuse(each)
        evaluate(each)
    model, before = load_fused(refitted, 0), load_fused(plain, 0)
    assert model.refitted and not before.refitted and model.candidates == before.candidates
    sides = split_embeddings(refitted, 0)
    both = sides["train"].embeddings.joined(sides["val"].embeddings)
    target = np.concatenate([sides["train"].target, sides["val"].target])
    rule = (before.normalization, before.missing)
    expected = fusion.fit_as(both, target, before.labels, "svm", *rule, refitted.config.fusion, 0)
    np.testing.assert_array_equal(model.classifiers[0].weight, expected.classifiers[0].weight)
    rows = [table(each, "ablation").to_dict("records") for each in (plain, refitted)]
    (more,) = [row for row in rows[1] if row["method"] == "svm, refitted"]
    assert tuple(more["streams"]) == model.streams and np.isnan(more["val_top1"]) and not more["best_on_validation"]
    test = sides["test"]
    assert more["top1"] == metrics.top_k(model.decisions(test.embeddings.of(model.streams)), test.target, 1)
    names = ("method", "val_top1", "top1", "best_on_validation")
    others = [row for row in rows[1] if row is not more]
    assert [[row[n] for n in names] for row in rows[0]] == [[row[n] for n in names] for row in others]


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
    assert evaluate(dataclasses.replace(replaced, replaced=())).written
    catalog = root.catalog()
    counts = pa.array([1, *[None] * (catalog.num_rows - 1)], pa.int32())  # a file that has changed since
    changed = catalog.set_column(catalog.schema.get_field_index("revision"), "revision", counts)
    root.store.put(layout.CATALOG, schema.to_parquet(changed, "x"))
    with pytest.raises(InputError, match="stage evaluate was made with other inputs test videos"):
        evaluate(dataclasses.replace(replaced, replaced=()))


def test_noise_gives_chance(tmp_path: Path) -> None:
    """A test that must be able to fail in the other direction: without signal no classifier shines."""
    videos = clips(classes=6, groups=10, clips_per_group=4)
    root = learnt_root(tmp_path / "root", videos)
    put_embeddings(root, videos, noise=1000.0)
    fuse(root)
    evaluate(root)
    assert table(root, "ablation")["top1"].max() < 0.45
