"""The stage on a small root: who is learnt from, what is written, and what is refused before anything is touched."""

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from actionrec import schema
from actionrec.anomaly import autoencoder
from actionrec.anomaly.detector import check_class, read_videos
from actionrec.anomaly.holdout import facts, holdout
from actionrec.anomaly.scores import fit_anomaly, holdout_all, score_anomaly
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, begin, open_root

WIDTHS = {"spatial": 10, "audio": 6}
CLASSES = ("a", "b", "c", "far")
COUNTS = {"train": 12, "val": 5, "test": 6}  # videos of each class
SMALL = {
    "streams": ["spatial", "audio"],
    "frame": {"weights": "random"},
    "anomaly": {"hidden": 12, "bottleneck": 3, "max_epochs": 15, "batch": 8},
}
Vectors = dict[str, dict[str, np.ndarray | None]]  # video_id -> stream -> its vector


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def videos() -> Iterator[tuple[str, str, str]]:
    """video_id, label, split."""
    for label in CLASSES:
        for split, count in COUNTS.items():
            yield from ((f"{label}/{split}-{number}.mp4", label, split) for number in range(count))


def vectors() -> Vectors:
    """A class is a blob in a plane that all share but `far`, which leaves it. Some have no sound, two have nothing."""
    plane, away = (np.random.default_rng(seed).normal(size=(3, 16)) for seed in (1, 2))
    random = np.random.default_rng(3)
    centres = {label: random.normal(size=3) for label in CLASSES}
    made: Vectors = {}
    for place, (video_id, label, _) in enumerate(videos()):
        point = (centres[label] + random.normal(size=3)) @ plane + 0.1 * random.normal(size=16)
        point = (point + 3 * (label == "far") * away[0]).astype(np.float32)
        made[video_id] = {"spatial": point[:10], "audio": None if place % 7 == 0 else point[10:]}
    made["a/test-0.mp4"] = made["b/train-1.mp4"] = {"spatial": None, "audio": None}
    return made


def put_embeddings(root: Root, made: Vectors, seed: int = 0) -> None:
    fingerprint = begin(root, "embeddings", {"rnn-spatial": "x"})
    ids = [video_id for video_id in root.catalog()["video_id"].to_pylist() if video_id in made]
    columns = {
        stream: pa.array(
            [made[i][stream] if made[i][stream] is None else made[i][stream].tolist() for i in ids],  # type: ignore[union-attr]
            pa.list_(pa.float32(), width),
        )
        for stream, width in WIDTHS.items()
    }
    table = pa.table({"video_id": ids, **columns}, schema=schema.video_embeddings(WIDTHS))
    root.output.put(layout.video_embeddings(root.further(seed)), schema.to_parquet(table, seeded(fingerprint, seed)))


def catalog_table(rows: list[tuple[str, str, str]]) -> pa.Table:
    classes = sorted({label for _, label, _ in rows})
    return pa.Table.from_pylist(
        [
            {
                "video_id": video_id,
                "path": video_id,
                "label": label,
                "class_index": classes.index(label),
                "group": video_id,
                "split": split,
                "bytes": 1,
            }
            for video_id, label, split in rows
        ],
        schema=schema.CATALOG,
    )


def new_root(
    folder: Path,
    *layers: dict[str, Any],
    made: Vectors | None = None,
    keep: Callable[[str, str, str], bool] = lambda video_id, label, split: True,
) -> Root:
    root = open_root(str(folder), [SMALL, *layers])
    rows = [row for row in videos() if keep(*row)]
    root.store.put(layout.CATALOG, schema.to_parquet(catalog_table(rows), "x"))
    for seed in root.config.seeds:
        put_embeddings(root, vectors() if made is None else made, seed)
    return root


def normal(*labels: str) -> dict[str, Any]:
    return {"anomaly": {"normal": list(labels)}}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def described(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(root.output.read("models/autoencoder/config.json"))
    return found


def rows_of(table: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for row in table.to_pylist()}


def test_every_video_has_its_row_and_those_without_embedding_say_so(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    fit_anomaly(root)
    scored = score_anomaly(root)
    assert schema.from_parquet(root.store.read("tables/anomaly.parquet"), schema.ANOMALY, "it").equals(scored.table)
    rows = rows_of(scored.table)
    assert sorted(rows) == sorted(video_id for video_id, _, _ in videos())
    empty = {video_id for video_id, row in rows.items() if row["score"] is None}
    assert empty == {"a/test-0.mp4", "b/train-1.mp4"} and scored.not_scored == 2
    assert all(rows[video_id]["anomalous"] is None and rows[video_id]["neighbor_score"] is None for video_id in empty)
    ordered = scored.table["score"].to_pylist()
    assert ordered[:-2] == sorted(ordered[:-2], reverse=True) and ordered[-2:] == [None, None]
    threshold = described(root)["threshold"]
    for row in rows.values():
        assert row["threshold"] == threshold
        assert row["score"] is None or row["anomalous"] == (row["score"] > threshold)
    assert (
        scored.facts()["videos"]
        == f"90 scored, {sum(r['anomalous'] or 0 for r in rows.values())} anomalous, 2 not scored"
    )
    assert scored.autoencoder is None  # every class is normal: nobody is known to be unusual


def test_the_threshold_is_the_quantile_of_the_normal_validation_videos(tmp_path: Path) -> None:
    root = new_root(tmp_path, normal("a", "b"), {"anomaly": {"quantile": 0.7}})
    fit_anomaly(root)
    rows = rows_of(score_anomaly(root).table)
    known = [rows[i]["score"] for i, label, split in videos() if split == "val" and label in ("a", "b")]
    assert described(root)["threshold"] == np.quantile(known, 0.7)
    assert described(root)["n_normal_val"] == len(known) == 10


def test_the_table_holds_what_the_stored_network_says_when_asked_directly(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    fit_anomaly(root)
    rows = rows_of(score_anomaly(root).table)
    network = autoencoder.Autoencoder(16, 12, 3)
    tensors = safetensors.numpy.load(root.store.read("models/autoencoder/model.safetensors"))
    network.load_state_dict({name: torch.from_numpy(each.copy()) for name, each in tensors.items()})
    for video_id, streams in vectors().items():
        if streams["spatial"] is None:
            continue
        sound = streams["audio"]
        values = np.concatenate([streams["spatial"], np.zeros(6) if sound is None else sound]).astype(np.float32)
        present = np.repeat([True, sound is not None], [10, 6])
        assert rows[video_id]["score"] == autoencoder.score(network, values[None], present[None])[0]


def test_a_class_that_is_not_normal_changes_nothing_but_its_own_scores(tmp_path: Path) -> None:
    moved = vectors()
    for video_id in moved:
        if video_id.startswith("far"):
            moved[video_id] = {name: v if v is None else 50 - 9 * v for name, v in moved[video_id].items()}
    three = normal("a", "b", "c")
    here, there = new_root(tmp_path / "1", three), new_root(tmp_path / "2", three, made=moved)
    for root in (here, there):
        fit_anomaly(root)
    assert described(here)["sha256"] == described(there)["sha256"]
    assert described(here)["threshold"] == described(there)["threshold"]
    before, after = rows_of(score_anomaly(here).table), rows_of(score_anomaly(there).table)
    for video_id in before:
        assert (before[video_id] == after[video_id]) == (not video_id.startswith("far"))


def test_other_classes_stand_out_in_the_test_split(tmp_path: Path) -> None:
    root = new_root(tmp_path, normal("a", "b", "c"))
    fit_anomaly(root)
    scored = score_anomaly(root)
    rows = [row for row in scored.table.to_pylist() if row["split"] == "test" and row["score"] is not None]
    truth = [row["label"] == "far" for row in rows]
    for found, column in ((scored.autoencoder, "score"), (scored.neighbors, "neighbor_score")):
        assert found is not None and (found.n_unusual, found.n_usual) == (6, 17)  # one of `a` has no embedding
        values = [row[column] for row in rows]
        assert found.auroc == roc_auc_score(truth, values)
        assert found.average_precision == average_precision_score(truth, values)
        assert found.auroc > 0.9
    assert str(scored.facts()["autoencoder"]).endswith("(6 test videos of other classes, 17 normal)")


def test_the_markdown_says_what_made_it_and_how_many(tmp_path: Path) -> None:
    root = new_root(tmp_path, normal("a", "b", "c"))
    fit_anomaly(root)
    score_anomaly(root)
    text = root.store.read("tables/anomaly.md").decode()
    assert "random" in text and "frame" in text
    assert "AUROC" in text and "6" in text and "17" in text
    assert "far/test-0.mp4" in text
    assert "a/test-0.mp4" in text.partition("## Not scored")[2]


def test_a_rerun_writes_nothing(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    fit_anomaly(root)
    score_anomaly(root)
    holdout_all(root)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    root = open_root(str(tmp_path))
    fit_anomaly(root)
    score_anomaly(root)
    holdout_all(root)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_each_seed_has_its_autoencoder(tmp_path: Path) -> None:
    root = new_root(tmp_path, {"seeds": [0, 5]})
    fit_anomaly(root)
    assert root.store.exists("models/autoencoder/config.json")
    assert json.loads(root.store.read("models/autoencoder/seed-5/config.json"))["seed"] == 5


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (normal("a", "fas"), r"anomaly\.normal.*'fas'.*did you mean 'far'.*; there are a, b, c, far"),
        ({"anomaly": {"bottleneck": 16}}, r"anomaly\.bottleneck is 16.* 16 numbers"),
        ({"streams": ["spatial", "motion"]}, r"embeddings/video\.parquet.*motion"),
    ],
)
def test_bad_input_is_refused_before_anything_is_begun(tmp_path: Path, layer: dict[str, Any], message: str) -> None:
    root = new_root(tmp_path, layer)
    before = files(tmp_path)
    for stage in (fit_anomaly, holdout_all):
        with pytest.raises(InputError, match=message):
            stage(root)
    with pytest.raises(InputError, match=message):
        holdout(root, "a", lambda held: pytest.fail("it was trained all the same"))
    assert files(tmp_path) == before


def test_embeddings_that_are_missing_damaged_or_anothers_are_refused(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    key = layout.video_embeddings()
    table = pa.table({"video_id": ["a/val-0.mp4"]})
    nans = {name: pa.array([[np.nan] * width], pa.list_(pa.float32(), width)) for name, width in WIDTHS.items()}
    not_finite = table.append_column("spatial", nans["spatial"]).append_column("audio", nans["audio"])
    fingerprint = seeded(begin(root, "embeddings", {"rnn-spatial": "x"}), 0)
    for data, message in (
        (b"PAR1 no", "not a table"),
        (schema.to_parquet(table, fingerprint), "not a table"),
        (schema.to_parquet(table, fingerprint)[:-9], "not a table"),
        (_parquet(not_finite, fingerprint), "NaN or infinity"),
        (root.store.read(key).replace(fingerprint.encode(), b"x" * len(fingerprint)), "other recurrent networks"),
    ):
        root.store.put(key, data)
        with pytest.raises(InputError, match=message):
            fit_anomaly(root)
    root.store.delete(key)
    with pytest.raises(InputError, match="no video embeddings here; run `actionrec train rnn`"):
        fit_anomaly(root)
    assert not root.begun("anomaly")


def _parquet(table: pa.Table, fingerprint: str) -> bytes:
    """Without the check for NaN that schema.to_parquet makes."""
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"actionrec.fingerprint": fingerprint.encode()}), sink)
    return sink.getvalue()


def test_a_split_without_normal_videos_is_refused(tmp_path: Path) -> None:
    root = new_root(tmp_path, normal("far"), keep=lambda i, label, split: (label, split) != ("far", "val"))
    with pytest.raises(InputError, match="no val video of the normal classes"):
        fit_anomaly(root)


@pytest.mark.parametrize(("name", "place"), [("model.safetensors", -3), ("config.json", 0), ("labels.json", 0)])
def test_a_tampered_or_missing_model_is_refused(tmp_path: Path, name: str, place: int) -> None:
    root = new_root(tmp_path)
    with pytest.raises(InputError, match="run `actionrec anomaly`"):
        score_anomaly(root)
    fit_anomaly(root)
    key = f"models/autoencoder/{name}"
    data = bytearray(root.store.read(key))
    data[place] ^= 1
    root.store.put(key, bytes(data))
    with pytest.raises(InputError, match="models/autoencoder"):
        score_anomaly(root)
    root.store.delete(key)
    with pytest.raises(InputError, match="models/autoencoder"):
        score_anomaly(root)
    assert not root.store.exists("tables/anomaly.parquet")


def test_replacing_the_stage_deletes_all_it_made(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    fit_anomaly(root)
    score_anomaly(root)
    holdout_all(root)
    root.store.put(f"{layout.HOLDOUT}x/models/some.json", b"{}")
    open_root(str(tmp_path), replace="anomaly").clear("anomaly")
    left = [key for key in files(tmp_path) if key != layout.replacement("anomaly")]
    assert not [key for key in left if "anomaly" in key or "autoencoder" in key or "holdout" in key]
    assert "embeddings/video.parquet" in left


def test_holding_out_every_class_keeps_the_networks_and_says_so(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    table = holdout_all(root)
    assert schema.from_parquet(root.store.read("tables/anomaly_holdout.parquet"), schema.ANOMALY_HOLDOUT, "it") == table
    rows = {row["class"]: row for row in table.to_pylist()}
    assert sorted(rows) == sorted(CLASSES) and all(row["networks_saw_class"] for row in rows.values())
    assert (rows["far"]["n_held"], rows["far"]["n_other"], rows["far"]["n_not_scored"]) == (6, 17, 1)
    assert (rows["a"]["n_held"], rows["a"]["n_other"], rows["a"]["n_not_scored"]) == (5, 18, 1)
    assert rows["far"]["auroc"] > 0.9 and rows["far"]["neighbor_auroc"] > 0.9
    assert rows["far"]["n_seeds"] == 1 and rows["far"]["auroc_sd"] is None
    assert "far" in root.store.read("tables/anomaly_holdout.md").decode()
    assert not root.store.exists("models/autoencoder/config.json")


def test_a_held_out_class_is_what_a_class_that_is_not_normal_is(tmp_path: Path) -> None:
    """The same autoencoder by two ways: without `far`, and with the three others as the normal ones."""
    row = next(row for row in holdout_all(new_root(tmp_path / "1")).to_pylist() if row["class"] == "far")
    other = new_root(tmp_path / "2", normal("a", "b", "c"))
    fit_anomaly(other)
    scored = score_anomaly(other)
    assert scored.autoencoder is not None and scored.neighbors is not None
    assert (row["auroc"], row["average_precision"]) == (scored.autoencoder.auroc, scored.autoencoder.average_precision)
    assert (row["neighbor_auroc"], row["n_held"], row["n_other"]) == (scored.neighbors.auroc, 6, 17)


def test_an_interrupted_holdout_goes_on_with_the_next_class(tmp_path: Path) -> None:
    root, seen = new_root(tmp_path), []

    def stop_at_third(text: str) -> None:
        seen.append(text)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        holdout_all(root, on_stage=stop_at_third)
    holdout_all(root, on_stage=seen.append)
    assert seen == [f"without {label}" for label in ("a", "b", "c", "c", "far")]


def test_several_seeds_give_mean_and_deviation(tmp_path: Path) -> None:
    def only(seeds: list[int], name: str) -> dict[str, Any]:
        table = holdout_all(new_root(tmp_path / name, {"seeds": seeds}))
        return {row["class"]: row for row in table.to_pylist()}["a"]

    both, one, two = only([0, 5], "both"), only([0], "one"), only([5], "two")
    for figure in ("auroc", "average_precision", "neighbor_auroc"):
        pair = [one[figure], two[figure]]
        assert both[figure] == pytest.approx(np.mean(pair))
        assert both[f"{figure}_sd"] == pytest.approx(np.std(pair, ddof=1))
    assert one["auroc"] != two["auroc"]
    assert both["n_seeds"] == 2 and both["seeds"] == [0, 5]


def test_the_only_normal_class_gets_no_row_and_one_without_test_clips_no_figures(tmp_path: Path) -> None:
    root = new_root(tmp_path, normal("a"), keep=lambda i, label, split: (label, split) != ("b", "test"))
    rows = {row["class"]: row for row in holdout_all(root).to_pylist()}
    assert sorted(rows) == ["b", "c", "far"]
    assert facts(holdout_all(root))["b, networks saw it"] == "0 held and 5 other test clips"
    assert rows["b"]["n_held"] == 0 and rows["b"]["auroc"] is None and rows["c"]["auroc"] is not None


def retrain(held: Root) -> None:
    """What training without a class leaves behind: embeddings, here the same ones."""
    assert "far" not in held.catalog()["label"].to_pylist()
    put_embeddings(held, vectors())


def test_holding_out_one_class_trains_without_it_and_keeps_the_other_rows(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    others = holdout_all(root).to_pylist()
    table = holdout(root, "far", retrain)
    rows = table.to_pylist()
    assert [row for row in rows if row["networks_saw_class"]] == others
    (mine,) = [row for row in rows if not row["networks_saw_class"]]
    saw = next(row for row in others if row["class"] == "far")
    assert mine == {**saw, "networks_saw_class": False}  # our `retrain` changes no embedding
    assert not root.store.exists("models/autoencoder/config.json")
    assert root.without("far").output.exists("models/autoencoder/config.json")
    assert len(read_videos(root.without("far"), 0, root.without("far").catalog()).ids) == 4 * 23 - 17
    before = files(tmp_path)
    assert holdout(root, "far", lambda held: pytest.fail("it is finished")) == table
    assert files(tmp_path) == before


def test_the_retrained_networks_embeddings_are_judged_and_not_the_old_ones(tmp_path: Path) -> None:
    anew = {video_id: vectors()[video_id.replace("far", "c")] for video_id in vectors()}  # `far` no longer stands out
    root = new_root(tmp_path / "1")
    (mine,) = holdout(root, "far", lambda held: put_embeddings(held, anew)).to_pylist()
    expected = next(
        row for row in holdout_all(new_root(tmp_path / "2", made=anew)).to_pylist() if row["class"] == "far"
    )
    assert mine == {**expected, "networks_saw_class": False}
    assert mine["auroc"] < 0.9


def test_an_interrupted_retraining_is_gone_on_with(tmp_path: Path) -> None:
    root = new_root(tmp_path)

    def interrupted(held: Root) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        holdout(root, "far", interrupted)
    assert holdout(root, "far", retrain).num_rows == 1


@pytest.mark.parametrize(
    ("label", "layer", "classes", "message"),
    [
        ("fare", {}, CLASSES, "--holdout: .*'fare'.*did you mean 'far'.*; there are a, b, c, far$"),
        ("zzz", {}, CLASSES, "--holdout: .*'zzz'; there are a, b, c, far$"),
        ("a", normal("a"), CLASSES, "no normal class is left"),
        ("a", {}, ("a", "b"), "without it.* one class"),
    ],
)
def test_what_cannot_be_held_out_is_refused(
    tmp_path: Path, label: str, layer: dict[str, Any], classes: tuple[str, ...], message: str
) -> None:
    root = new_root(tmp_path, layer, keep=lambda i, of, split: of in classes)
    with pytest.raises(InputError, match=message):
        holdout(root, label, lambda held: pytest.fail("it was trained all the same"))
    assert not root.begun("anomaly")


def test_a_class_without_test_clips_is_not_held_out(tmp_path: Path) -> None:
    root = new_root(tmp_path, keep=lambda i, label, split: (label, split) != ("b", "test"))
    with pytest.raises(InputError, match="'b' has no test clips"):
        holdout(root, "b", retrain)


def test_new_test_clips_are_not_skipped(tmp_path: Path) -> None:
    root = new_root(tmp_path, keep=lambda i, label, split: i != "far/test-5.mp4")
    assert {row["class"]: row["n_held"] for row in holdout_all(root).to_pylist()}["far"] == 5
    root.store.put(layout.CATALOG, schema.to_parquet(catalog_table(list(videos())), "x"))
    put_embeddings(root, vectors())
    assert {row["class"]: row["n_held"] for row in holdout_all(root).to_pylist()}["far"] == 6


def test_other_settings_are_refused_unless_the_stage_is_replaced(tmp_path: Path) -> None:
    fit_anomaly(new_root(tmp_path))
    with pytest.raises(InputError, match=r"anomaly\.hidden.*--replace anomaly"):
        open_root(str(tmp_path), [{"anomaly": {"hidden": 9}}])
    root = open_root(str(tmp_path), [{"anomaly": {"hidden": 9}}], replace="anomaly")
    fit_anomaly(root)
    assert described(dataclasses.replace(root, replaced=()))["hidden"] == 9


def test_of_many_classes_an_error_names_some_and_counts_the_others() -> None:
    classes = [f"class {number:02d}" for number in range(101)]
    with pytest.raises(InputError, match=r"there are class 00, .*, class 19 and 81 more$"):
        check_class("--holdout", "zzz", classes)
