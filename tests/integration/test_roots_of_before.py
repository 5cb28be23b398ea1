"""A root that an earlier release made is read, goes on, and loses nothing.

It is upgraded first, see tests/unit/storage/test_upgrade.py; tests/earlier_roots.py says what they are.
"""

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actionrec.storage import layout
from actionrec.storage.root import open_root
from actionrec.storage.samples import samples
from tests.earlier_roots import RELEASES, unpack
from tests.tiny_roots import Stamp, actionrec, link_weights, snapshot

VIDEOS = {"v0.1": 16, "v0.1-motion": 12}  # that could be decoded


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old_root(release: str, tmp_path: Path) -> Path:
    root = unpack(release, tmp_path / "root")
    assert actionrec("upgrade", "--root", root) == 0
    return root


def test_a_root_of_before_is_refused_by_every_other_verb(
    release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = unpack(release, tmp_path / "root")
    before = written(root)
    for verb in (["train", "rnn"], ["evaluate"], ["report"], ["run"], ["plan"]):
        assert actionrec(*verb, "--root", root) == 2
        assert f"run `actionrec upgrade --root {root}`, which keeps every feature and model" in _said(capsys)
    assert written(root) == before


def test_an_upgrade_changes_no_setting_and_says_when_there_is_nothing_to_do(
    old_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = written(old_root)
    assert actionrec("upgrade", "--root", old_root) == 0
    assert "nothing to upgrade" in _said(capsys)
    assert actionrec("upgrade", "--root", old_root, "--set", "rnn.units=3") == 2
    assert "rnn: upgrade changes no setting of a root" in _said(capsys)
    assert written(old_root) == before


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    return "".join(capsys.readouterr())


def test_a_root_of_before_is_finished_and_nothing_of_it_is_written_again(old_root: Path) -> None:
    before = written(old_root)
    for verb in (["train", "rnn"], ["tune", "svm"], ["train", "fusion"], ["evaluate"], ["anomaly"]):
        assert actionrec(*verb, "--root", old_root) == 0, verb
    assert written(old_root) == before


def written(root: Path) -> dict[str, Stamp]:
    """All but what a release may say of the same figures in words of its own. Table II has more rows now."""
    table2 = "tables/table2.parquet"
    return {name: stamp for name, stamp in snapshot(root).items() if not name.endswith(".md") and name != table2}


@pytest.mark.parametrize("release", ["v0.1"])  # the other zip leaves networks out that a run holds to their hash
def test_a_finished_root_is_run_again_where_its_videos_are_gone(
    old_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is of any release. The videos of this one have never been here."""
    monkeypatch.setattr("ray.init", lambda *given, **more: pytest.fail("there is nothing to compute"))
    take_weights(old_root)
    before = written(old_root)
    source = open_root(str(old_root)).config.data.source
    for given in ((), (source,)):
        assert actionrec("run", *given, "--root", old_root) == 0
        assert f"{source}: not there any more, and nothing needs it" in " ".join(capsys.readouterr().err.split())
    assert actionrec("catalog", "--root", old_root) == 2
    assert {name: stamp for name, stamp in written(old_root).items() if name in before} == before


def take_weights(root: Path) -> None:
    """The weights that the zip lacks. Random ones differ in their last digits from machine to machine."""
    link_weights(root)
    of = {name: next((root / "weights").glob(f"{name}-*.safetensors")) for name in ("frame", "audio")}
    hashes = {f"{name} weights": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in of.items()}
    first = "finetune" if (root / layout.stage("finetune")).exists() else "spatial"
    for stage in (first, "audio"):
        path = root / layout.stage(stage)
        record = json.loads(path.read_bytes())
        record["inputs"] |= {name: value for name, value in hashes.items() if name in record["inputs"]}
        path.write_text(json.dumps(record, indent=1))


def test_a_named_configuration_does_not_change_the_source_of_a_finished_root(
    old_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionrec.config.NAMED_CONFIGS", tmp_path)
    (tmp_path / "lists.yaml").write_text("data: {dataset: ucf101, split: 2}")
    before = written(old_root)
    assert actionrec("evaluate", "--root", old_root, "--config", "lists") == 0
    assert actionrec("evaluate", "--root", old_root, "--config", tmp_path / "lists.yaml") == 2  # somebody's own
    assert written(old_root) == before


def test_a_stage_of_a_root_of_before_can_be_made_anew(old_root: Path) -> None:
    assert actionrec("train", "fusion", "--root", old_root, "--replace", "fusion") == 0
    assert actionrec("evaluate", "--root", old_root) == 0
    assert pq.read_table(old_root / "tables/predictions.parquet").num_rows == len(open_root(str(old_root)).catalog())


def test_every_catalogued_video_of_a_root_of_before_has_its_features(old_root: Path, release: str) -> None:
    root = open_root(str(old_root))
    ids = set(root.catalog()["video_id"].to_pylist())
    assert {video.video_id for video in samples(root, "spatial").videos} <= ids
    assert {len(samples(root, stream).videos) for stream in ("spatial", "flow")} == {VIDEOS[release]}
