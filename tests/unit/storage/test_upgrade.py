"""A root of an earlier release becomes one of today's: whole or not at all, and nothing that was made is touched."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from actionrec import schema
from actionrec.config import Storage
from actionrec.errors import ActionrecError, InputError
from actionrec.storage import earlier, layout, replacing
from actionrec.storage.local_store import LocalStore
from actionrec.storage.root import open_of_any_release, open_root, record
from actionrec.storage.samples import learnt_inputs, samples
from actionrec.storage.store import open_store
from actionrec.storage.upgrade import Upgraded, upgrade
from tests.earlier_roots import RELEASES, unpack
from tests.interposing import Cut, Once, before_each_change

Files = dict[str, bytes]
MADE = ("features/flow/", "features/spatial/", "features/audio/", "features/motion/", "features/plan/", "models/")
LEARNT = ("embeddings/", "tables/", "tune/", "catalog.parquet", "config.yaml")


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(release: str, tmp_path: Path) -> Path:
    return unpack(release, tmp_path / "root")


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    return unpack("v0.1-motion", tmp_path / "root")


def files(root: Path) -> Files:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def upgraded(root: Path) -> Upgraded:
    return upgrade(open_of_any_release(str(root)))


def test_nothing_that_was_made_is_touched_and_a_second_call_does_nothing(root: Path) -> None:
    before = files(root)
    assert upgraded(root).parts == len(list((root / "features/plan").parent.glob("flow/*")))
    after = files(root)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert all("stages/" in name or name.startswith(layout.STATUS) for name in changed)
    made = {name for name in before if name.startswith((*MADE, *LEARNT)) or name.startswith(layout.HOLDOUT)}
    assert {name for name in made if "/stages/" not in name and before[name] != after.get(name)} == set()
    assert upgraded(root) == Upgraded()
    assert files(root) == after


def test_a_root_in_a_bucket_becomes_what_one_in_a_folder_becomes(
    release: str, root: Path, s3_bucket: tuple[str, str]
) -> None:
    storage = {"endpoint_url": s3_bucket[0]}
    store = open_store(f"s3://{s3_bucket[1]}/upgraded/{release}", Storage(**storage))
    for name, data in files(root).items():
        store.put(name, data)
    assert upgrade(open_of_any_release(store.url, [{"storage": storage}])) == upgraded(root) != Upgraded()
    assert {key: store.read(key) for key in store.sizes()} == files(root)
    assert upgrade(open_of_any_release(store.url, [{"storage": storage}])) == Upgraded()


def test_what_is_begun_again_finds_no_difference_and_the_names_of_before(root: Path) -> None:
    before = {path.stem: json.loads(path.read_bytes())["fingerprint"] for path in (root / "stages").glob("*.json")}
    upgraded(root)
    now = open_root(str(root))
    streams = now.config.streams
    assert {record(now, each)["fingerprint"] for each in ("flow", "spatial", "audio")} == {before["extract"]}
    for stream in streams:
        assert record(now, layout.rnn(stream))["fingerprint"] == before["rnn"]
        assert record(now, layout.rnn(stream))["inputs"] == learnt_inputs(now, stream)
    assert record(now, "embeddings")["inputs"] == {layout.rnn(stream): before["rnn"] for stream in streams}
    for learnt in ("svm", "anomaly"):
        assert record(now, learnt)["inputs"] == {"embeddings": before["rnn"]}


def test_a_motion_cnn_a_sweep_and_a_fine_tuning_keep_their_names_too(motion: Path) -> None:
    before = {path.stem: json.loads(path.read_bytes()) for path in (motion / "stages").glob("*.json")}
    upgraded(motion)
    now = open_root(str(motion))
    extracted, network = before["extract"]["fingerprint"], before["motion"]["fingerprint"]
    assert record(now, "motion_cnn")["inputs"] == learnt_inputs(now, "flow")
    assert record(now, "motion_cnn")["fingerprint"] == record(now, "motion")["fingerprint"] == network
    assert record(now, "motion")["inputs"] == {"motion_cnn": network, "flow": extracted, "spatial": extracted}
    judged = {"test videos": before["tune"]["inputs"]["test videos"]}
    assert record(now, "tune")["inputs"] == learnt_inputs(now, "spatial") | judged
    assert record(now, "finetune")["fingerprint"] == before["spatial"]["fingerprint"]
    weights = {"frame weights": before["extract"]["inputs"]["frame"]}
    assert record(now, "spatial")["inputs"] == weights | {
        "flow": extracted,
        "finetune": before["spatial"]["fingerprint"],
    }
    held = now.without("c")
    for stream in held.config.streams:
        assert (
            record(held, layout.rnn(stream))["inputs"]["videos"] != record(now, layout.rnn(stream))["inputs"]["videos"]
        )
    assert record(held, "anomaly")["inputs"] == {"embeddings": record(held, "embeddings")["fingerprint"]}


def restored(motion: Path) -> None:
    shutil.rmtree(motion)
    unpack("v0.1-motion", motion)


def test_cut_off_anywhere_it_is_finished_by_a_second_call(motion: Path) -> None:
    upgraded(motion)
    end, calls = files(motion), 0
    while True:
        restored(motion)
        try:
            with before_each_change(Cut(calls)):
                upgraded(motion)
            break
        except ActionrecError:
            pass
        if not earlier.is_earlier(LocalStore(str(motion))):  # then it is whole, but for what is to be cleared away
            assert files(motion).items() >= end.items()
        upgraded(motion)
        assert files(motion) == end, calls
        calls += 1
    assert calls > 40


def test_another_upgrade_that_comes_and_goes_at_any_moment_does_no_harm(motion: Path) -> None:
    upgraded(motion)
    end, calls, is_done = files(motion), 0, False
    while not is_done:
        restored(motion)
        other = Once(calls, lambda: upgraded(motion))
        with before_each_change(other):
            upgraded(motion)
        is_done = not other.acted
        assert files(motion) == end, calls
        calls += 3
    assert calls > 30


def test_an_object_store_is_upgraded_likewise(root: Path, release: str) -> None:
    store = open_store(f"memory://upgrade-{release}", Storage())
    for key, data in files(root).items():
        store.put(key, data)
    upgrade(open_of_any_release(store.url))
    upgraded(root)
    assert {key: store.read(key) for key in store.sizes()} == files(root)


def test_every_other_use_is_refused_until_then(root: Path) -> None:
    with pytest.raises(InputError, match=r"an earlier release made this root; run `actionrec upgrade --root"):
        open_root(str(root))


def test_a_fine_tuning_without_features_is_a_root_to_upgrade_and_a_catalog_is_none(motion: Path) -> None:
    for path in motion.iterdir():
        if path.name not in ("catalog.parquet", "config.yaml", "models", "stages"):
            shutil.rmtree(path)
    for path in (motion / "stages").iterdir():
        if path.name != "spatial.json":
            path.unlink()
    with pytest.raises(InputError, match="earlier release"):
        open_root(str(motion))
    assert upgraded(motion).stages == ("catalog", "finetune")
    assert [path.name for path in (motion / "stages").iterdir()] == ["finetune.json"]
    (motion / "stages/finetune.json").unlink()
    before = files(motion)
    open_root(str(motion))
    assert upgraded(motion) == Upgraded()
    assert files(motion) == before


def test_imported_features_are_the_stream_spatial_and_no_other(tmp_path: Path) -> None:
    root = unpack("v0.1", tmp_path / "root")
    config = yaml.safe_load((root / "config.yaml").read_text())
    config["data"] |= {"dataset": "features", "source": "/nowhere.npz"}
    (root / "config.yaml").write_text(yaml.safe_dump(config | {"streams": ["spatial"]}))
    made = json.loads((root / "stages/extract.json").read_bytes())
    imported = made | {"settings": {}, "inputs": {"imported features": "1"}}
    (root / "stages/extract.json").write_text(json.dumps(imported))
    for path in (root / "stages").iterdir():
        if path.name != "extract.json":
            path.unlink()
    upgraded(root)
    now = open_root(str(root))
    assert record(now, "spatial")["inputs"] == {"imported features": "1"}
    assert not now.begun("flow")
    assert not now.begun("audio")
    assert {path.name.split("-")[0] for path in (root / "features/status").iterdir()} == {"spatial"}


def reopen(root: Path, part: int, without: str) -> None:
    """As the earlier release did where a video had changed or failed."""
    mark = root / layout.commit_mark("extract", part)
    table = pq.read_table(mark)
    kept = schema.to_parquet(
        table.filter(pc.not_equal(table["video_id"], without)), schema.fingerprint_of(mark.read_bytes()) or ""
    )
    aside = root / layout.reopened("extract", part)
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.write_bytes(kept)
    mark.unlink()
    (root / layout.commit_mark("motion", part)).unlink(missing_ok=True)


def test_what_was_kept_of_a_reopened_part_stays_kept_for_each_stream(motion: Path) -> None:
    whole = unpack("v0.1-motion", motion.parent / "whole")
    reopen(motion, 0, without="a/broken.mp4")
    good = sorted(set(samples_of(motion, "flow")) - {"a/broken.mp4"})
    for root in (whole, motion):
        upgraded(root)
    for stream in ("flow", "spatial"):
        assert not (motion / layout.commit_mark(stream, 0)).exists()
        aside = pq.read_table(motion / layout.reopened(stream, 0))
        assert set(aside["stream"].to_pylist()) == {stream}
        assert sorted(aside["video_id"].to_pylist()) == good
    # The failed video was in nobody's training set: once the part is computed again, nothing is out of date.
    networks = [record(open_root(str(each)), "rnn-motion") for each in (whole, motion)]
    assert networks[0] == networks[1]


def samples_of(root: Path, stream: str) -> list[str]:
    table = pq.read_table(root / layout.reopened("extract", 0))
    ids: list[str] = table.filter(pc.equal(table["stream"], stream))["video_id"].to_pylist()
    return ids


def test_what_was_out_of_date_stays_out_of_date(motion: Path) -> None:
    catalog = pq.read_table(motion / "catalog.parquet")
    learnt = catalog["split"].to_pylist().index("train")
    revision = pa.array([1 if place == learnt else None for place in range(len(catalog))], pa.int32())
    table = catalog.set_column(catalog.schema.get_field_index("revision"), "revision", revision)
    (motion / "catalog.parquet").write_bytes(schema.to_parquet(table, "x"))
    upgraded(motion)
    now = open_root(str(motion))
    for stream in now.config.streams:
        assert record(now, layout.rnn(stream))["inputs"]["videos"] != learnt_inputs(now, stream)["videos"]


@pytest.mark.parametrize("command", ["extract", "run"])
def test_a_replace_that_was_interrupted_goes_on_after_the_upgrade(command: str, motion: Path) -> None:
    note = {"command": command, "fingerprint": "of before"}
    for name in ("extract", "rnn"):
        (motion / layout.replacement(name)).parent.mkdir(exist_ok=True)
        (motion / layout.replacement(name)).write_text(
            json.dumps(note | ({} if command == "run" else {"command": name}))
        )
    upgraded(motion)
    typed = open_root(str(motion), [], ["extract", "rnn"])
    typed = typed if command == "extract" else type(typed)(**vars(typed) | {"command": "run"})
    for stage in ("flow", "spatial", "audio", "rnn-spatial", "rnn-motion", "embeddings"):
        assert typed.clears(stage, record(typed, stage)["inputs"]) is False, stage
    assert replacing.noted(typed.store, "extract") == replacing.noted(typed.store, "rnn") == {}


def test_the_note_of_a_fine_tuning_is_no_note_of_the_stream(motion: Path) -> None:
    (motion / "replacing").mkdir()
    (motion / layout.replacement("spatial")).write_text(json.dumps({"command": "spatial", "fingerprint": "of before"}))
    upgraded(motion)
    typed = open_root(str(motion), [], "finetune")
    assert typed.clears("finetune", record(typed, "finetune")["inputs"]) is False
    assert replacing.noted(typed.store, "spatial") == {}


def test_a_mark_that_another_extraction_wrote_is_trusted_by_no_stream(root: Path) -> None:
    mark = root / layout.commit_mark("extract", 0)
    mark.write_bytes(schema.to_parquet(pq.read_table(mark), "another"))
    upgraded(root)
    assert not mark.exists()
    assert not (root / layout.commit_mark("flow", 0)).exists()
    assert (root / layout.commit_mark("flow", 1)).exists()


@pytest.mark.parametrize("name", ["stages/extract.json", "stages/rnn.json", "features/status/extract-000001.parquet"])
def test_what_is_damaged_is_named_and_the_root_stays_what_it_was(name: str, root: Path) -> None:
    before = (root / name).read_bytes()
    (root / name).write_bytes(before[: len(before) // 2])
    with pytest.raises(InputError, match=name):
        upgraded(root)
    with pytest.raises(InputError, match="earlier release"):
        open_root(str(root))
    (root / name).write_bytes(before)
    upgraded(root)
    assert len(samples(open_root(str(root)), "spatial").videos) >= 12


def with_weights_recorded(root: Path) -> Path:
    """The records of weights, which tests/roots lack; the fine-tuned network has its own."""
    made = json.loads((root / "stages/extract.json").read_bytes())["inputs"]
    (root / "weights").mkdir()
    for network, sha256 in {**made, "flow": "of another run"}.items():
        (root / f"weights/{network}-of-then.json").write_text(json.dumps({"sha256": sha256}))
    return root


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_the_record_of_extract_is_made_anew_from_what_the_marks_go_by(damage: str, root: Path, tmp_path: Path) -> None:
    shutil.copytree(with_weights_recorded(root), calm := tmp_path / "calm")
    upgraded(calm)
    key = root / "stages/extract.json"
    key.write_bytes(key.read_bytes()[:20]) if damage == "cut" else key.unlink()
    upgraded(root)
    assert files(root) == files(calm)


@pytest.mark.parametrize("change", [{"clip": {"max_s": 30.0}}, {"seed": 5}])
def test_a_record_of_extract_that_is_lost_and_cannot_be_told_stops_and_deletes_nothing(
    change: dict[str, Any], root: Path
) -> None:
    (with_weights_recorded(root) / "stages/extract.json").unlink()
    config = yaml.safe_load((root / "config.yaml").read_text())
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    (root / "config.yaml").write_text(yaml.safe_dump(config))
    before = files(root)
    with pytest.raises(InputError, match=r"stages/extract.json: damaged or gone.*under another --root"):
        upgraded(root)
    assert files(root) == before


def test_what_a_killed_upgrade_has_left_is_counted(root: Path) -> None:
    with before_each_change(Cut(0)), pytest.raises(ActionrecError):
        upgraded(root)
    mark = (root / layout.commit_mark("extract", 0)).read_bytes()
    upgraded(root)
    (root / layout.commit_mark("extract", 0)).write_bytes(mark)
    assert upgraded(root) == Upgraded(removed=1)
    assert upgraded(root) == Upgraded()


RECORDS = ("spatial", "motion", "rnn", "tune", "svm", "fusion", "evaluate", "anomaly")


@pytest.mark.parametrize("stage", RECORDS)
def test_a_damaged_record_that_is_deleted_as_told_gives_up_that_stage(stage: str, motion: Path) -> None:
    (motion / layout.stage(stage)).write_text("{")
    with pytest.raises(InputError, match="delete it to give up what that stage has made"):
        upgraded(motion)
    (motion / layout.stage(stage)).unlink()
    assert {"flow", "spatial"} <= set(upgraded(motion).stages)
