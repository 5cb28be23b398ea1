"""`actionrec predict`: to the bit what `evaluate` said of a catalogued video, and a reason for what is no video."""

import contextlib
import csv
import errno
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray
import torch

from actionrec import Predictor, schema
from actionrec import embed as embed_module
from actionrec.errors import InputError, Reason, VideoError
from actionrec.features.frame_cnn import FrameCNN
from actionrec.learning.fusion import FusedModel
from actionrec.learning.linear import Linear, Normalizer
from actionrec.media.isolate import Decoder
from actionrec.storage import layout
from actionrec.storage.root import Root, open_root
from actionrec.training.rnn import train_rnn
from tests import media_files
from tests.integration.conftest import Run
from tests.tiny_models import put_motion_cnn, put_rnns
from tests.tiny_roots import actionrec, clip, features, link_weights, snapshot

SETTINGS = {
    "rnn": {"units": 8},
    "extract": {"actors": 1},
    "anomaly": {"hidden": 8, "bottleneck": 4, "max_epochs": 2},
}
SPLITS = {"a/000.avi": "train", "b/001.mp4": "train", "b/003.mp4": "train", "a/006.avi": "val", "b/005.mp4": "val"}
SILENT = {"a/002.avi", "b/005.mp4"}  # the former is in the test split
Said = dict[str, dict[str, Any]]  # video -> its line of --json


@pytest.fixture(scope="module")
def root(plain_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The plain run with untrained networks, everything after them made by the command line."""
    folder = tmp_path_factory.mktemp("predict") / "root"
    shutil.copytree(plain_run.root, folder, ignore=shutil.ignore_patterns("weights"))
    link_weights(folder)
    found = open_root(str(folder), [SETTINGS])
    catalog = found.catalog()
    split = pa.array([SPLITS.get(video_id, "test") for video_id in catalog["video_id"].to_pylist()])
    put_catalog(found, catalog.set_column(catalog.schema.get_field_index("split"), "split", split))
    put_motion_cnn(found)
    assert actionrec("train", "motion", "--root", folder) == 0
    put_rnns(found, widths(folder))
    for verb in (("train", "rnn"), ("tune", "svm"), ("train", "fusion"), ("evaluate",), ("anomaly",)):
        assert actionrec(*verb, "--root", folder) == 0
    return open_root(str(folder))


def widths(folder: Path) -> dict[str, int]:
    return {"spatial": len(features(folder, "spatial")["embedding"][0][0]), "motion": 2048, "audio": 128}


def put_catalog(root: Root, table: pa.Table) -> None:
    root.store.put(layout.CATALOG, schema.to_parquet(table.cast(schema.CATALOG), "x"))


@pytest.fixture
def ask(root: Root, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Said]]:
    def ask(videos: list[Any], *more: object) -> tuple[int, Said]:
        capsys.readouterr()
        code = actionrec("predict", *videos, "--root", root.store.url, "--json", *more)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, {line["video"]: line for line in lines}

    return ask


Ask = Callable[..., tuple[int, Said]]


def test_a_catalogued_video_gets_the_scores_of_the_evaluation_to_the_bit(
    root: Root, plain_run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("Ray was used")

    for name in ("init", "get", "put"):
        monkeypatch.setattr(ray, name, refuse)
    code, said = ask([plain_run.source / video_id for video_id in plain_run.ids])
    assert code == 0
    stored = pd.read_parquet(Path(root.store.url, "tables/predictions.parquet")).set_index("video_id")
    unusual = pd.read_parquet(Path(root.store.url, "tables/anomaly.parquet")).set_index("video_id")
    moments = features(Path(root.store.url), "spatial").set_index("video_id")["time_s"]
    assert set(stored.index) == set(plain_run.ids) and set(stored["split"]) == {"train", "val", "test"}
    for video_id in plain_run.ids:
        mine = said[str(plain_run.source / video_id)]
        assert mine.keys() == {"video", "ok", "top", "calibrated_on", "anomaly", "times_s", "streams", "error"}
        assert mine["ok"] is True and mine["error"] is None
        assert [each["class"] for each in mine["top"]] == list(stored["classes"][video_id])
        assert [each["margin"] for each in mine["top"]] == list(stored["scores"][video_id])  # to the bit
        names = ("score", "threshold", "anomalous")
        assert mine["anomaly"] == {name: unusual[name][video_id] for name in names}  # to the bit
        assert mine["times_s"] == [float(moment) for moment in moments[video_id]]
        assert mine["streams"] == ["spatial", "motion", *([] if video_id in SILENT else ["audio"])]
    assert len({json.dumps(each["top"]) for each in said.values()}) == len(plain_run.ids)  # it is not a constant


def test_a_bad_file_says_why_and_the_others_go_on(plain_run: Run, ask: Ask, tmp_path: Path) -> None:
    good = [plain_run.source / plain_run.ids[place] for place in (0, 1)]
    bad = {
        tmp_path / "zero bytes.mp4": (media_files.zero_bytes(), "empty"),
        tmp_path / "[red]text.avi": (media_files.text(), "not_video"),
        tmp_path / "truncated.avi": (media_files.truncated_avi(), "truncated"),
        tmp_path / "flipped.avi": (media_files.flipped_avi(), "corrupt"),
        tmp_path / "no pictures.mp4": (media_files.no_frames(), "no_frames"),
    }
    for path, (data, _) in bad.items():
        path.write_bytes(data)
    (tmp_path / "to nowhere.mp4").symlink_to(tmp_path / "none.mp4")
    code, said = ask([good[0], tmp_path, good[1]])  # a folder
    assert code == 1
    bad[tmp_path / "to nowhere.mp4"] = (b"", "missing")
    assert list(said) == [str(path) for path in (good[0], *sorted(bad), good[1])]
    for path, (_, reason) in bad.items():
        mine = said[str(path)]
        assert mine["error"]["reason"] == reason and mine["error"]["detail"], path
        assert (mine["ok"], mine["top"], mine["times_s"], mine["streams"]) == (False, [], [], [])
    assert ask(good)[1] == {str(path): said[str(path)] for path in good}


def test_a_csv_has_a_row_for_every_video_and_nothing_else(
    root: Root, plain_run: Run, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = plain_run.source / "a/000.avi", tmp_path / 'not, a "video".mp4'
    bad.write_bytes(media_files.text())
    said = ask([good])[1][str(good)]
    capsys.readouterr()
    assert actionrec("predict", good, bad, "--root", root.store.url, "--csv") == 1
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["video"] for row in rows] == [str(good), str(bad)] and text.count("\n") == 3
    assert [rows[0][name] for name in ("ok", "class", "class_2")] == ["true", *(each["class"] for each in said["top"])]
    assert rows[0]["class_3"] == ""
    assert float(rows[0]["margin"]) == said["top"][0]["margin"] and rows[0]["probability"] == ""
    assert float(rows[0]["anomaly_score"]) == said["anomaly"]["score"] and rows[0]["calibrated_on"] == "2"
    assert rows[0]["streams"] == "spatial motion audio" and rows[0]["reason"] == ""
    assert (rows[1]["ok"], rows[1]["reason"], rows[1]["class"]) == ("false", "not_video", "") and rows[1]["detail"]


def test_python_gets_a_result_or_an_error_with_a_reason(root: Root, plain_run: Run, tmp_path: Path) -> None:
    with Predictor(root.store.url) as predictor:
        found = predictor(plain_run.source / "a/000.avi")
        assert sorted(found.classes) == ["a", "b"] and found.margins[0] >= found.margins[1]
        assert found.probabilities is None and found.calibrated_on == 2  # too few
        assert found.anomaly is not None and found.anomaly.score > 0
        with pytest.raises(VideoError) as missing:
            predictor(tmp_path / "none.mp4")
        assert missing.value.reason is Reason.MISSING
        assert predictor(plain_run.source / "a/000.avi").margins == found.margins
    with pytest.raises(InputError, match="no root here"):
        Predictor(tmp_path / "no root")


def test_the_five_lines_of_the_documents_run(
    root: Root, plain_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "docs/predict.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(root.store.url)
    (tmp_path / "clip.mp4").symlink_to(plain_run.source / "b/001.mp4")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(lines, {})
    assert capsys.readouterr().out.split()[0] in ("a", "b") and len(lines.strip().splitlines()) == 5


def test_search_embeds_a_file_as_the_root_did(
    root: Root, plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for video_id in ("a/000.avi", "a/002.avi"):  # the latter has no sound
        capsys.readouterr()
        page = tmp_path / "page.html"
        file = plain_run.source / video_id
        assert actionrec("search", file, "--root", root.store.url, "--json", "--top", 3, "--out", page) == 0
        first, *_ = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert first["video_id"] == video_id and first["distance"] == pytest.approx(0, abs=1e-6)
        assert page.read_text(encoding="utf-8").count("data:image/webp;base64,") == 4
    bad = tmp_path / "cut.avi"
    bad.write_bytes(media_files.truncated_avi())
    assert actionrec("search", bad, "--root", root.store.url) == 2
    assert f"{bad}: it cannot be used (truncated: " in capsys.readouterr().err


def test_sound_that_cannot_be_decoded_counts_as_none(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "broken sound.mkv"
    path.write_bytes(media_files.broken_audio())
    code, said = ask([path])
    assert code == 0 and said[str(path)]["streams"] == ["spatial", "motion"]


def test_a_link_a_relative_path_and_a_bucket_give_what_the_file_gives(
    plain_run: Run, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_bucket: tuple[str, str]
) -> None:
    import boto3

    endpoint, bucket = s3_bucket
    boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=bucket, Key="new/sp ace+é.mp4", Body=clip(1))
    os.symlink(plain_run.source / "b/001.mp4", tmp_path / "link.mp4")
    monkeypatch.chdir(plain_run.source)
    videos = ["b/001.mp4", tmp_path / "link.mp4", f"s3://{bucket}/new/sp ace+é.mp4"]
    for asked in (videos, [*videos[:2], f"s3://{bucket}/n*/**/*.mp4", f"s3://{bucket}/new"]):
        code, said = ask(asked, "--set", f"storage.endpoint_url={endpoint}")
        assert code == 0 and list(said) == [str(video) for video in videos]
        same = [{**each, "video": ""} for each in said.values()]
        assert same[0]["ok"] and same[0] == same[1] == same[2]
    assert ask([f"s3://{bucket}/new/none.mp4"], "--set", f"storage.endpoint_url={endpoint}") == (2, {})


def test_a_file_over_the_limit_is_refused(plain_run: Run, ask: Ask) -> None:
    path = plain_run.source / "a/000.avi"
    code, said = ask([path], "--set", f"limits.file_gib={(path.stat().st_size - 1) / 2**30}")
    assert code == 1 and said[str(path)]["error"]["reason"] == "too_large"
    code, said = ask([path], "--set", f"limits.file_gib={path.stat().st_size / 2**30}")
    assert code == 0


def test_five_classes_at_most_the_best_first(root: Root, plain_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.5, -1.0, 2.0, 0.5, 0.0, 7.0, -3.0])
    classifier = Linear({"spatial": Normalizer(16, "l2")}, (), np.zeros((7, 16)), scores)
    fused = FusedModel(tuple("abcdefg"), {"spatial": 16}, "l2", 1e-2, "mask", (classifier,))
    monkeypatch.setattr("actionrec.fusion.fuse.load_fused", lambda root, seed: fused)
    with Predictor(root) as predictor:
        found = predictor(plain_run.source / "a/000.avi")
    assert found.classes == tuple("fcadebg") and found.margins == (7.0, 2.0, 0.5, 0.5, 0.0, -1.0, -3.0)
    top = [(each["class"], each["margin"]) for each in found.to_json()["top"]]
    assert top == [("f", 7.0), ("c", 2.0), ("a", 0.5), ("d", 0.5), ("e", 0.0)]
    assert found.seconds > 0


def test_a_person_reads_classes_and_reasons(
    root: Root, plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert actionrec("predict", plain_run.source / "a/000.avi", empty, "--root", root.store.url) == 1
    text = capsys.readouterr()
    assert "a/000.avi" in text.out and "from spatial, motion, audio, at 0.00" in text.out
    assert "empty: " in text.out and text.out.count("margin: the decision value") == 1
    assert "probability: none, for it takes 20 validation videos, and there are 2" in text.out
    assert "1 of 2 videos could not be judged" in text.err


@contextlib.contextmanager
def changed(path: Path, change: Callable[[bytes], bytes | None]) -> Iterator[None]:
    """The file as `change` makes it (None: gone), for a while."""
    before = path.read_bytes()
    after = change(before)
    path.unlink() if after is None else path.write_bytes(after)
    try:
        yield
    finally:
        path.write_bytes(before)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def gone(data: bytes) -> None:
    return None


def other(place: str, name: str) -> Callable[[bytes], bytes]:
    """JSON in which `name`, in the section `place` if there is one, is another."""

    def change(data: bytes) -> bytes:
        found = json.loads(data)
        (found[place] if place else found)[name] = "another"
        return json.dumps(found).encode()

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("models/fusion/model.safetensors", flipped, "sha256"),
        ("models/rnn-audio/model.safetensors", flipped, "sha256"),
        ("models/motion_cnn/model.safetensors", flipped, "sha256"),
        ("models/fusion/config.json", gone, "no finished model"),
        ("models/rnn-spatial/config.json", other("", "fingerprint"), "other settings"),
        ("stages/fusion.json", gone, "actionrec train svm"),
        ("stages/fusion.json", other("inputs", "embeddings"), "fusion was made from another embeddings"),
        ("stages/embeddings.json", other("inputs", "rnn-audio"), "embeddings was made from another rnn-audio"),
        ("stages/rnn-motion.json", other("inputs", "motion"), "rnn-motion was made from another motion"),
        ("stages/motion_cnn.json", other("inputs", "flow"), "motion_cnn was made from another flow"),
        ("stages/spatial.json", other("inputs", "flow"), "spatial was made from another flow"),
        (
            "stages/audio.json",
            other("inputs", "audio weights"),
            "audio was made with other weights",
        ),
    ],
)
def test_a_root_that_is_not_whole_ends_it_before_any_video(
    name: str,
    change: Callable[[bytes], bytes | None],
    words: str,
    root: Root,
    plain_run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: Decoder, data: bytes) -> None:
        raise AssertionError("a video was decoded")

    monkeypatch.setattr(Decoder, "decode", refuse)
    capsys.readouterr()
    with changed(Path(root.store.url, name), change):
        assert actionrec("predict", plain_run.source / "a/000.avi", "--root", root.store.url, "--json") == 2
    text = capsys.readouterr()
    assert text.out == "" and words in text.err and text.err.count("error:") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(
    root: Root, plain_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--root", root.store.url, "--set", "extract.device=cuda")
    assert actionrec("predict", plain_run.source / "a/000.avi", *wanted) == 2
    assert "--set extract.device=cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (FrameCNN, "__call__", torch.AcceleratorError("CUDA error: unspecified launch failure")),
        (FrameCNN, "__call__", MemoryError("Unable to allocate 1.00 GiB")),
        (FrameCNN, "__call__", OSError(errno.ENOSPC, "No space left on device")),
        (embed_module, "named_file", OSError(errno.EMFILE, "Too many open files")),
    ],
)
def test_a_fault_of_the_machine_is_said_of_no_video(
    place: Any,
    name: str,
    error: Exception,
    root: Root,
    plain_run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(place, name, fail)
    capsys.readouterr()
    assert actionrec("predict", plain_run.source / "a/000.avi", "--root", root.store.url, "--json") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.strip().splitlines()[-1].count("the machine's fault and no video's") == 1


def test_embeddings_follow_the_catalog_and_the_streams_that_videos_have(root: Root) -> None:
    """Last, because it changes the root: a sound that could not be read before, then a video and a seed more."""
    url, key = Path(root.store.url), "embeddings/video.parquet"
    before, catalog, data = pd.read_parquet(url / key), root.catalog(), root.store.read(key)
    put_without_sound(root, key, "a/004.avi")
    assert root.store.read(key) != data
    assert actionrec("train", "rnn", "--root", url) == 0
    assert root.store.read(key) == data

    extra = {**catalog.slice(0, 1).to_pylist()[0], "video_id": "a/new.avi", "split": "test"}
    put_catalog(root, pa.concat_tables([catalog, pa.Table.from_pylist([extra], schema=schema.CATALOG)]))
    assert actionrec("train", "rnn", "--root", url) == 0
    now = pd.read_parquet(url / key)
    assert list(now["video_id"]) == [*before["video_id"], "a/new.avi"]
    assert now.iloc[-1][["spatial", "motion", "audio"]].isna().all()
    pd.testing.assert_frame_equal(now.iloc[:-1], before, check_exact=True)

    stamp = snapshot(url)[key]
    more = open_root(str(url), [{"seeds": [0, 5]}], replace="evaluate")
    put_rnns(more, widths(url))
    train_rnn(more)
    assert snapshot(url)[key] == stamp
    second = pd.read_parquet(url / "embeddings/seed-5/video.parquet")
    assert list(second["video_id"]) == list(now["video_id"])
    assert not np.allclose(second["spatial"][0], now["spatial"][0])


def put_without_sound(root: Root, key: str, video_id: str) -> None:
    """Store the embeddings as they are made while a video's sound cannot be read."""
    data = root.store.read(key)
    table = schema.from_parquet(data, schema.video_embeddings(dict.fromkeys(root.config.streams, 16)), key)
    sound = [
        None if name == video_id else vector
        for name, vector in zip(table["video_id"].to_pylist(), table["audio"].to_pylist(), strict=True)
    ]
    field = table.schema.field("audio")
    table = table.set_column(table.schema.get_field_index("audio"), field, pa.array(sound, field.type))
    root.store.put(key, schema.to_parquet(table, str(schema.fingerprint_of(data))))
