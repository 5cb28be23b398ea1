"""Fine-tuning the frame CNN end to end, on real files and a real Ray: what it makes is what extraction then uses."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import safetensors.numpy

from actionrec.errors import ActionrecError, InputError
from actionrec.features.frame_cnn import build_frame_cnn
from actionrec.storage.local_store import LocalStore
from actionrec.storage.models import Model, leave_out
from actionrec.storage.root import open_root, record
from actionrec.storage.weights import WeightsRef, load, prepare
from actionrec.training.finetune import train_spatial
from tests.tiny_roots import actionrec, clip_name, features, link_weights, new_root, outcomes, snapshot, write_clips

SPLITS = {"train": range(0, 8), "val": range(8, 11), "test": range(11, 13)}
BROKEN = "b/broken.mp4"
SETTINGS = {
    "blocks": 2, "batch": 4, "max_epochs": 6, "lr": 0.01, "frames": 3, "dropout": 0.0, "shuffle_batches": 1
}  # fmt: skip
SET = [option for key, value in SETTINGS.items() for option in ("--set", f"finetune.{key}={value}")]
WORKERS = {"train": {"workers": 2, "threads": 1, "checkpoint_s": 0}}


class Tuned(NamedTuple):
    """A root after `train spatial`, and the source it was made from."""

    source: Path
    root: Path
    model: Model


@pytest.fixture(scope="module", autouse=True)
def one_session(ray_session: None) -> None:
    """Every test here shares the test session's Ray."""


def catalogued(folder: Path, source: Path, *more: str) -> Path:
    return new_root(folder / "root", source / "list.csv", "--dataset", "csv", *more)


def write_source(source: Path) -> Path:
    """Two classes (dimmed red, and not), every clip a group of its own, and a training video that is none."""
    names = write_clips(source, range(13))
    rows = [
        f"{names[n]},{'rest' if n % 3 else 'dim'},g{n},{split}" for split, numbers in SPLITS.items() for n in numbers
    ]
    (source / BROKEN).write_bytes(b"not a video at all")
    text = "\n".join(["path,label,group,split", *rows, f"{BROKEN},rest,g99,train"])
    (source / "list.csv").write_text(text, encoding="utf-8")
    return source


def tune(root: Path, **settings: Any) -> Model:
    return train_spatial(open_root(str(root), [{"finetune": SETTINGS | settings}, WORKERS]))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    source = write_source(folder / "videos")
    root = catalogued(folder, source)
    return Tuned(source, root, tune(root))


@pytest.fixture(scope="module")
def extracted(tuned: Tuned) -> Path:
    assert actionrec("extract", "--root", tuned.root, "--set", "extract.max_failed=1") == 0
    return tuned.root


@pytest.fixture(scope="module")
def untuned(tuned: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same videos, embedded by the network that the tuning started from."""
    root = catalogued(tmp_path_factory.mktemp("untuned"), tuned.source)
    assert actionrec("extract", "--root", root, "--set", "extract.max_failed=1") == 0
    return root


def test_the_model_is_a_network_that_extraction_can_build(tuned: Tuned) -> None:
    folder = tuned.root / "models/frame_cnn"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "history.json", "history.jsonl", "labels.json", "model.safetensors"
    ]  # fmt: skip
    network = build_frame_cnn("test_resnet")
    network.load_state_dict(tuned.model.tensors, strict=True)
    history = json.loads((folder / "history.json").read_text())
    assert len(history) == 6 and history[-1]["train_loss"] < history[0]["train_loss"]
    assert tuned.model.labels == ["dim", "rest"]
    assert (tuned.model.config["blocks"], tuned.model.config["random_networks"]) == (2, ["frame", "audio"])


def test_a_video_that_cannot_be_decoded_is_left_out_by_name_and_the_rest_is_learnt_from(tuned: Tuned) -> None:
    left_out = tuned.model.config["left_out"]
    assert list(left_out) == [BROKEN] and left_out[BROKEN].startswith("not_video: ")
    assert {row["samples"] for row in tuned.model.history} <= {7, 8}  # of 9, two full batches of 4, less the broken one
    assert 7 in {row["samples"] for row in tuned.model.history}


def test_only_the_last_blocks_differ_from_the_start(tuned: Tuned) -> None:
    (start,) = (tuned.root / "weights").glob("frame-*.safetensors")
    before = safetensors.numpy.load(start.read_bytes())
    changed = {
        name.split(".")[0] for name, value in tuned.model.tensors.items() if (value.numpy() != before[name]).any()
    }
    assert changed == {"layer3", "layer4"}


def test_a_rerun_of_finished_tuning_writes_nothing_and_starts_no_ray(
    tuned: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(tuned.root)
    monkeypatch.setattr("actionrec.training.ray_train.session", None)
    assert tune(tuned.root).config == tuned.model.config
    assert actionrec("train", "spatial", "--root", tuned.root) == 0
    assert snapshot(tuned.root) == before


def test_extraction_uses_the_tuned_network_and_says_so(tuned: Tuned, extracted: Path, untuned: Path) -> None:
    made = [record(open_root(str(root)), "spatial") for root in (extracted, untuned)]
    assert made[0]["fingerprint"] != made[1]["fingerprint"]
    own = {"frame weights": tuned.model.config["sha256"], "finetune": tuned.model.config["fingerprint"]}
    assert made[0]["inputs"] == made[1]["inputs"] | own
    mine, theirs = (features(root, "spatial").set_index("video_id")["embedding"] for root in (extracted, untuned))
    assert set(mine.index) == set(theirs.index) == {clip_name(n) for n in range(13)}
    assert all(np.abs(np.stack(mine[i]) - np.stack(theirs[i])).max() > 1e-3 for i in mine.index)
    assert outcomes(extracted) == outcomes(untuned)
    root = open_root(str(extracted))
    ref = prepare(root.config, root.store, ["spatial"])["spatial"]
    assert ref.kind == "random" and "last 2 blocks fine-tuned" in ref.description


def test_the_same_seed_and_workers_give_the_same_network_and_a_killed_runs_notes_are_kept(
    tuned: Tuned, tmp_path: Path
) -> None:
    root = catalogued(tmp_path, tuned.source)
    store, folder = open_root(str(root)).store, "models/frame_cnn/"
    leave_out(store, folder, tuned.model.config["fingerprint"], clip_name(3), "timeout: noted by a run that was killed")
    leave_out(store, folder, "another", clip_name(4), "timeout: noted by a run with other settings")
    model = tune(root)
    notes = {clip_name(3): "timeout: noted by a run that was killed"}
    assert model.config["left_out"] == tuned.model.config["left_out"] | notes
    paths = [each / "models/frame_cnn/model.safetensors" for each in (root, tuned.root)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(
        path.name for path in paths[1].parent.iterdir()
    )


def test_changed_settings_are_refused_by_name(tuned: Tuned, capsys: pytest.CaptureFixture[str]) -> None:
    for key, value in (("blocks", 1), ("lr", 0.5)):
        assert actionrec("extract", "--root", tuned.root, "--set", f"finetune.{key}={value}") == 2
        assert f"finetune.{key}" in capsys.readouterr().err


def test_without_the_tuning_the_frames_are_others(extracted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(extracted)
    assert actionrec("extract", "--root", extracted, "--set", "finetune.blocks=0") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "spatial was made with other inputs finetune, inputs frame weights" in said and "--replace spatial" in said
    assert snapshot(extracted) == before


def test_extraction_before_tuning_says_what_to_run(
    tuned: Tuned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = catalogued(tmp_path, tuned.source, *SET)
    assert actionrec("extract", "--root", root) == 2
    assert "actionrec train spatial" in capsys.readouterr().err
    assert not (root / "stages/spatial.json").exists()


def test_what_cannot_be_tuned_is_refused_before_anything_is_begun(tuned: Tuned, tmp_path: Path) -> None:
    root = catalogued(tmp_path, tuned.source)
    before = snapshot(root)
    with pytest.raises(InputError, match=r"finetune\.blocks=0.*--set finetune\.blocks=3"):
        tune(root, blocks=0)
    with pytest.raises(InputError, match=r"finetune\.blocks=9: the network has 5 blocks"):
        tune(root, blocks=9)
    (tuned.source / "one.csv").write_text(f"path,label\n{clip_name(0)},a\n{clip_name(2)},a\n")
    other = new_root(tmp_path / "other", tuned.source / "one.csv", "--dataset", "csv")
    with pytest.raises(InputError, match="there is one class"):
        tune(other)
    assert snapshot(root) == before


def test_a_split_without_a_usable_video_ends_the_tuning_in_one_sentence(tuned: Tuned, tmp_path: Path) -> None:
    source = write_source(tmp_path / "videos")
    for number in SPLITS["val"]:
        (source / clip_name(number)).write_bytes(b"")
    root = catalogued(tmp_path, source)
    with pytest.raises(InputError, match=r"no val video can be used; the first, .*: empty"):
        tune(root)
    assert not (root / "models/frame_cnn/model.safetensors").exists()


def test_a_damaged_tuned_network_is_refused_and_not_removed(tuned: Tuned, tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    for path in (tuned.root / "models/frame_cnn").iterdir():
        store.put(f"models/frame_cnn/{path.name}", path.read_bytes())
    ref = prepare_frame(tuned, store)
    load(build_frame_cnn("test_resnet"), ref, store)
    data = store.read(ref.key)
    store.put(ref.key, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match=r"model\.safetensors: its sha256 .*--replace finetune"):
        load(build_frame_cnn("test_resnet"), ref, store)
    assert store.exists(ref.key)


def prepare_frame(tuned: Tuned, store: LocalStore) -> WeightsRef:
    link_weights(Path(store.url))
    return prepare(open_root(str(tuned.root)).config, store, ["spatial"])["spatial"]


def test_tuning_is_taken_back_by_replacing_it(tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "root"
    shutil.copytree(tuned.root, copy)
    monkeypatch.setattr("actionrec.extraction.extract.session", no_session)
    assert actionrec("run", "--root", copy, "--replace", "finetune", "--set", "finetune.blocks=0") == 1
    root = open_root(str(copy))
    assert root.config.finetune.blocks == 0 and not root.begun("finetune")
    assert not any((copy / "models/frame_cnn").iterdir())
    assert record(root, "spatial")["inputs"]["frame weights"] == tuned.model.config["start_sha256"]


def no_session(verbose: bool) -> None:
    raise ActionrecError("the test has no use for Ray")
