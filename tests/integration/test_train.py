"""Training on Ray Train from stored features, with two real workers: deterministic, finished once, refused in words."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from actionrec.cluster.session import kept, session
from actionrec.errors import ActionrecError, InputError
from actionrec.fusion.fuse import fuse
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, begin, open_root
from actionrec.storage.samples import learnt_inputs, made_with, samples
from actionrec.training import motion_cnn, rnn
from actionrec.training.batches import BatchPlan, DirectData
from actionrec.training.ray_batches import RayData
from actionrec.training.sequences import SequenceLoader
from tests.tiny_features import SETTINGS, WIDTHS, Clip, clips, make_root, settings_file, write_stream
from tests.tiny_roots import Stamp, actionrec, snapshot

TWO_WORKERS = {"train": {"workers": 2}}


@pytest.fixture(scope="module", autouse=True)
def one_session() -> Iterator[None]:
    with kept():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = make_root(tmp_path_factory.mktemp("trained") / "root", settings=TWO_WORKERS)
    assert actionrec("train", "motion", "--root", root.store.url) == 0
    assert actionrec("train", "rnn", "--root", root.store.url) == 0
    return root


def test_every_network_is_there_with_its_history_and_learnt_something(trained: Root) -> None:
    for name in ("motion_cnn", "rnn-spatial", "rnn-motion", "rnn-audio"):
        folder = Path(trained.store.url, "models", name)
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json", "history.json", "labels.json", "model.safetensors"
        ]  # fmt: skip
        history = json.loads((folder / "history.json").read_text())
        assert history[-1]["train_loss"] < history[0]["train_loss"], name
        described = json.loads((folder / "config.json").read_text())
        assert (described["workers"], described["random_networks"]) == (2, ["frame", "audio"])
        assert json.loads((folder / "labels.json").read_text()) == ["c0", "c1", "c2"]


def test_every_video_has_its_embeddings_and_null_where_it_lacks_a_stream(trained: Root) -> None:
    table = pd.read_parquet(Path(trained.store.url, "embeddings", "video.parquet"))
    assert list(table.columns) == ["video_id", "spatial", "motion", "audio"]
    assert list(table["video_id"]) == [clip.video_id for clip in clips()]
    assert [row is not None for row in table["audio"]] == [clip.has_audio for clip in clips()]
    for stream in ("spatial", "motion"):
        assert {len(row) for row in table[stream]} == {16}  # 8 units, two directions
    motion = pd.read_parquet(Path(trained.store.url, "features", "motion"))
    assert sorted(motion["video_id"]) == sorted(clip.video_id for clip in clips())
    status = pd.read_parquet(Path(trained.store.url, "features", "status"))
    assert (status[status["stream"] == "motion"]["status"] == "ok").sum() == len(clips())


def test_finished_training_is_not_touched_and_needs_no_ray(trained: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(Path(trained.store.url))

    def refuse(verbose: bool = False) -> None:
        raise AssertionError("Ray was started")

    for module in ("training.ray_train", "extraction.motion_pass", "training.embed"):
        monkeypatch.setattr(f"actionrec.{module}.session", refuse)
    assert actionrec("train", "motion", "--root", trained.store.url) == 0
    assert actionrec("train", "rnn", "--root", trained.store.url) == 0
    assert snapshot(Path(trained.store.url)) == before


def test_the_same_seed_and_workers_give_the_same_networks_to_the_bit(trained: Root, tmp_path: Path) -> None:
    again = make_root(tmp_path / "root", settings=TWO_WORKERS)
    motion_cnn.train_motion(again)
    rnn.train_rnn(again)
    for name in ("motion_cnn", "rnn-spatial", "rnn-motion", "rnn-audio"):
        one, other = (Path(root.store.url, "models", name, "model.safetensors") for root in (trained, again))
        assert one.read_bytes() == other.read_bytes(), name


def test_ray_data_brings_exactly_the_batches_that_were_asked_for(trained: Root) -> None:
    found = samples(trained, "spatial")
    loader = SequenceLoader(
        trained.config, trained.store.url, "spatial", WIDTHS["spatial"], made_with(trained, "spatial")
    )
    plan = BatchPlan(loader, found.of("train"), found.of("val"), seed=3, batch=4, shuffle_batches=2)
    direct = DirectData(plan, "cpu")
    with session():
        data = RayData(plan, 5, "cpu", tasks=2)
        for epoch in (2, 3, 4):  # as after a resumption
            for one, other in (
                (data.training(epoch), direct.training(epoch)),
                (data.validation(epoch), direct.validation(epoch)),
            ):
                for mine, expected in zip(one, other, strict=True):
                    assert torch.equal(mine.target, expected.target) and torch.equal(mine.weight, expected.weight)
                    assert all(torch.equal(a, b) for a, b in zip(mine.inputs, expected.inputs, strict=True))
        data.close()


def test_further_seeds_are_added_beside_the_first(trained: Root) -> None:
    url = trained.store.url
    before = Path(url, "models/rnn-audio/model.safetensors").read_bytes()
    assert actionrec("train", "rnn", "--root", url, "--stream", "audio", "--set", "seeds=[0, 4]") == 0
    assert Path(url, "models/rnn-audio/model.safetensors").read_bytes() == before
    assert Path(url, "models/rnn-audio/seed-4/model.safetensors").read_bytes() != before
    assert not Path(url, "embeddings/seed-4").exists()  # the other streams' networks of that seed are not there yet
    open_root(url, [{"seeds": [0]}]).save_config()


def written(before: dict[str, Stamp], url: Path) -> set[str]:
    """What has been written since, as models/NAME, embeddings and so on; also where it holds the same bytes."""
    now = snapshot(url)
    assert before.keys() <= now.keys()
    return {"/".join(name.split("/")[:2]) for name, stamp in now.items() if before.get(name) != stamp}


def test_another_audio_redoes_what_was_made_from_the_audio_alone(trained: Root, tmp_path: Path) -> None:
    """The other networks stay as they are, to the byte, and are not written again."""
    url = tmp_path / "root"
    shutil.copytree(trained.store.url, url, ignore=shutil.ignore_patterns("seed-*"))  # of another test
    fuse(open_root(str(url)))
    before = snapshot(url)
    root = open_root(str(url), replace="audio")
    write_stream(root, "audio", begin(root, "audio", {"audio weights": "others"}), clips())
    assert not root.begun("fusion") and not (url / "models/rnn-audio/config.json").exists()
    assert actionrec("train", "rnn", "--root", url) == 0
    fuse(open_root(str(url)))
    assert {name for name in written(before, url) if not name.startswith("features/")} == {
        *("models/rnn-audio", "models/fusion", "embeddings/video.parquet", "replacing/audio.json"),
        *(f"stages/{name}.json" for name in ("audio", "rnn-audio", "embeddings", "fusion")),
    }

    before = snapshot(url)
    assert actionrec("train", "rnn", "--root", url, "--stream", "spatial", "--replace", "rnn") == 0
    assert not open_root(str(url)).begun("fusion")
    kept = {name: stamp for name, stamp in before.items() if (url / name).exists()}
    assert written(kept, url) == {
        *("models/rnn-spatial", "embeddings/video.parquet"),
        *(f"stages/{name}.json" for name in ("rnn-spatial", "embeddings")),
    }


def test_a_verb_replaces_what_it_makes_and_nothing_else(trained: Root, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(Path(trained.store.url))
    for verb, name in ((("train", "rnn"), "audio"), (("train", "motion"), "flow"), (("train", "fusion"), "rnn")):
        code, sentence = refusal(capsys, *verb, "--root", trained.store.url, "--replace", name)
        assert code == 2 and f"use `actionrec run --replace {name}`" in sentence
    code, sentence = refusal(capsys, "extract", "--root", trained.store.url, "--replace", "audio", "--set", "rnn.lr=1")
    assert code == 2 and "rnn.lr" in sentence  # the verb takes the name; what else has changed is refused
    assert snapshot(Path(trained.store.url)) == before


def test_a_motion_cnn_that_no_stream_wants_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_root(tmp_path / "root", settings={"streams": ["spatial"]})
    code, sentence = refusal(capsys, "train", "motion", "--root", root.store.url)
    assert code == 2 and "no use for a motion CNN" in sentence and "--set streams=" in sentence
    assert not root.begun("motion_cnn")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = actionrec(*arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    return code, lines[0]


def changed(split: str, to: str | None, only: str = "") -> list[Clip]:
    return [
        clip._replace(split=to) if clip.split == split and clip.label.startswith(only) else clip for clip in clips()
    ]


def stored(stream: str, place: int, sequence: NDArray[np.float32]) -> NDArray[np.float32]:
    return sequence


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ([clip for clip in clips() if clip.label == "c0"], "there is one class"),
        (changed("val", "train"), "split val"),
        (changed("train", "test", "c2"), "'c2', only in"),
        ([clip._replace(has_audio=False) for clip in clips()], "--set streams="),
    ],
    ids=["one class", "empty split", "a class only in test", "no stream at all"],
)
def test_what_cannot_be_trained_on_is_refused_in_one_sentence(
    videos: list[Clip], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_root(tmp_path / "root", videos, {"streams": ["spatial", "audio"]})
    root.save_config()
    before = snapshot(tmp_path)
    code, sentence = refusal(capsys, "train", "rnn", "--root", root.store.url)
    assert code == 2 and words in sentence
    assert snapshot(tmp_path) == before


def test_changed_settings_are_refused_by_name(trained: Root, capsys: pytest.CaptureFixture[str]) -> None:
    code, sentence = refusal(capsys, "train", "rnn", "--root", trained.store.url, "--set", "rnn.units=16")
    assert code == 2 and "rnn.units" in sentence and "--replace rnn to delete" in sentence
    code, sentence = refusal(capsys, "train", "rnn", "--root", trained.store.url, "--set", "motion.lr=0.5")
    assert code == 2 and "motion.lr" in sentence


def test_a_root_without_features_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_root(tmp_path / "root")
    root.store.delete(layout.stage("flow"))
    code, sentence = refusal(capsys, "train", "motion", "--root", root.store.url)
    assert code == 2 and "actionrec extract" in sentence


def damaged(root: Root, part: int, width: int, value: float) -> None:
    """Replace a stored part of the spatial stream by one that no version of this program writes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(root.store.url, layout.feature("spatial", part))
    table = pq.read_table(path)
    rows = [[[value] * width] * len(sequence) for sequence in table["embedding"].to_pylist()]
    column = pa.array(rows, pa.list_(pa.list_(pa.float32(), width)))
    place = table.schema.get_field_index("embedding")
    pq.write_table(table.set_column(place, "embedding", column), path)


@pytest.mark.parametrize(
    ("width", "value", "words"),
    [(6, float("nan"), "NaN or infinity"), (7, 0.0, "7 numbers, others 6")],
    ids=["NaN", "wrong width"],
)
def test_damaged_embeddings_end_the_training_in_one_sentence(
    width: int, value: float, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_root(tmp_path / "root", settings={"streams": ["spatial"]})
    damaged(root, 2, width, value)
    code, sentence = refusal(capsys, "train", "rnn", "--root", root.store.url)
    assert code == 2 and words in sentence
    assert not Path(root.store.url, "models").exists()


def test_a_loss_that_is_not_finite_ends_the_training_once(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", settings={"streams": ["spatial"], "rnn": {"lr": 10.0, "momentum": 1.0}})
    huge = dataclasses.replace(root.config.rnn, standardize=False)
    root = dataclasses.replace(root, config=dataclasses.replace(root.config, rnn=huge))
    damaged(root, 2, 6, 3e38)
    with pytest.raises(ActionrecError, match=r"loss became (nan|inf) in epoch 1") as failure:
        rnn.train_rnn(root)
    assert not isinstance(failure.value, InputError)
    assert not Path(root.store.url, "models", "rnn-spatial", "model.safetensors").exists()


@pytest.mark.parametrize("data", [b"\x80\x04K\x01.", b"", b"\0" * 200], ids=["a pickle", "nothing", "zeros"])
def test_a_damaged_checkpoint_is_named_and_not_written_over(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_root(tmp_path / "root", settings={"streams": ["spatial"]})
    own = seeded(begin(root, "rnn-spatial", learnt_inputs(root, "spatial")), 0)
    key = "models/rnn-spatial/checkpoint.safetensors"
    root.store.put(key, own.encode().ljust(64) + data)
    code, sentence = refusal(capsys, "train", "rnn", "--root", root.store.url)
    assert code == 2 and "checkpoint" in sentence and key in sentence
    assert root.store.read(key) == own.encode().ljust(64) + data


def test_settings_of_the_tiny_roots_are_a_configuration(tmp_path: Path) -> None:
    assert actionrec("doctor", "--config", settings_file(tmp_path, SETTINGS), "--help") == 0
