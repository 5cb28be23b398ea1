"""Drivers and workers are killed while networks train: the networks are those of a calm training, to the bit."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionrec.cluster.session import kept
from actionrec.storage.models import FINGERPRINT_BYTES
from tests.faults.drivers import REPOSITORY, Driver
from tests.tiny_features import make_root
from tests.tiny_roots import actionrec, snapshot

pytestmark = pytest.mark.timeout(900)

JOB = REPOSITORY / "jobs/train.py"
WORKER = b"RayTrainWorker"
LEDGER = b"ray::Ledger"
FOLDERS = {"rnn": "models/rnn-spatial", "motion": "models/motion_cnn"}
FINISHED = ["config.json", "history.json", "history.jsonl", "labels.json", "model.safetensors"]
EPOCHS = {"rnn": 200, "motion": 5}  # so that a training lasts seconds beyond its first checkpoint
SETTINGS = {
    "streams": ["spatial"],
    "tune": {"stream": "motion", "in_run": True},  # so that something wants the motion CNN, too
    "train": {"workers": 2},
    **{name: {"max_epochs": epochs, "stop_epochs": epochs} for name, epochs in EPOCHS.items()},
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root on which both networks were trained while nothing went wrong."""
    root = tmp_path_factory.mktemp("calm") / "root"
    make_root(root, settings=SETTINGS)
    with kept():
        for name in FOLDERS:
            assert actionrec("train", name, "--root", root) == 0
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_root(tmp_path / "root", settings=SETTINGS)
    return tmp_path / "root"


def kept_epochs(folder: Path) -> list[dict[str, Any]]:
    """The history in an unfinished training's checkpoint; nothing where there is none."""
    try:
        with open(folder / "checkpoint.safetensors", "rb") as file:
            file.seek(FINGERPRINT_BYTES)
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except FileNotFoundError:
        return []
    history: list[dict[str, Any]] = json.loads(header["__metadata__"]["training"])["history"]
    return history


def beyond(folder: Path, epochs: int, driver: Driver) -> Callable[[], bool]:
    """Whether so many epochs are kept and the training is not over."""

    def reached() -> bool:
        assert not (folder / "config.json").exists(), f"too late, the training is over: {driver.output()}"
        return len(kept_epochs(folder)) >= epochs

    return reached


def written_down(folder: Path) -> list[int]:
    """The epochs of history.jsonl, which is whole whenever a training was killed."""
    return [json.loads(line)["epoch"] for line in (folder / "history.jsonl").read_text().splitlines()]


def kill_a_worker(driver: Driver, rank: int) -> None:
    """One of the two training processes dies as when memory runs out."""
    workers = sorted(driver.processes(WORKER))
    assert len(workers) == 2, driver.output()
    os.kill(workers[rank], signal.SIGKILL)


def assert_unfinished(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No model stands there, and who asks for one is told so."""
    assert {path.name for path in folder.iterdir()} & set(FINISHED) <= {"history.jsonl"}
    assert written_down(folder) == list(range(len(written_down(folder))))
    root = folder.parents[1]
    assert not (root / "embeddings").exists()
    assert not list((root / "features/status").glob("motion-*"))
    assert actionrec("train", "fusion", "--root", root) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")


def assert_as_if_nothing_had_happened(root: Path, calm: Path, name: str, before: list[dict[str, Any]]) -> None:
    """The calm training's network and history, the first epochs of which are those of `before`: not trained again."""
    folder, wanted = root / FOLDERS[name], calm / FOLDERS[name]
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".tmp-")}  # a write that was cut short
    assert sorted(names) == FINISHED
    for file in ("model.safetensors", "labels.json", "config.json"):
        assert (folder / file).read_bytes() == (wanted / file).read_bytes(), file
    histories = [json.loads((each / "history.json").read_text()) for each in (folder, wanted)]
    assert len(histories[0]) == EPOCHS[name]
    assert written_down(folder) == list(range(EPOCHS[name]))
    assert histories[0][: len(before)] == before
    assert without_seconds(histories[0]) == without_seconds(histories[1])
    stamps = snapshot(root)
    assert actionrec("train", name, "--root", root) == 0
    assert snapshot(root) == stamps, "a rerun of finished work wrote something"


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in ("seconds", "wait_s")} for row in history]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_killed_driver_costs_at_most_an_epoch(
    name: str, calm: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / FOLDERS[name]
    with Driver(name, "--root", root, script=JOB) as driver:
        driver.wait_until(beyond(folder, 1, driver))
        driver.kill()
        assert not driver.orphans(), "workers outlive their driver"
    before = kept_epochs(folder)
    assert 0 < len(before) < EPOCHS[name]
    assert_unfinished(folder, capsys)
    with Driver(name, "--root", root, script=JOB) as driver:
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert_as_if_nothing_had_happened(root, calm, name, before)


def test_killed_workers_are_replaced_and_go_on_from_the_checkpoint(calm: Path, root: Path) -> None:
    folder = root / FOLDERS["rnn"]
    before: list[dict[str, Any]] = []
    with Driver("rnn", "--root", root, script=JOB) as driver:
        for rank in (0, 1):
            driver.wait_until(beyond(folder, len(before) + 2, driver))
            before = kept_epochs(folder)
            kill_a_worker(driver, rank)
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert len(before) < EPOCHS["rnn"]
    assert_as_if_nothing_had_happened(root, calm, "rnn", before)


def test_a_lost_ledger_costs_a_training_nothing(calm: Path, root: Path) -> None:
    """It is lost twice: in the middle, and once the model is there and only the driver's last question is open."""
    folder = root / FOLDERS["rnn"]
    with Driver("rnn", "--root", root, script=JOB) as driver:
        driver.wait_until(beyond(folder, 1, driver))
        kill(driver, LEDGER)
        driver.wait_until(lambda: bool(driver.processes(LEDGER)) and (folder / "config.json").exists())
        kill(driver, LEDGER)
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    assert_as_if_nothing_had_happened(root, calm, "rnn", [])


def kill(driver: Driver, command: bytes) -> None:
    for pid in driver.processes(command):
        os.kill(pid, signal.SIGKILL)


def test_workers_that_die_while_they_build_their_network_end_in_a_sentence(root: Path) -> None:
    script = Path(__file__).with_name("poisoned_training.py")
    with Driver("rnn", "--root", root, "--set", "train.max_failures=1", script=script) as driver:
        assert driver.wait() == 1, driver.output()
        assert not driver.orphans()
        last = driver.output().strip().splitlines()[-1]
    assert last.startswith("error: a worker died 2 times while it loaded its networks, on node "), last
    assert "; the last time: Fatal Python error: Segmentation fault; " in last, last


def test_more_deaths_than_allowed_end_in_a_sentence_and_a_rerun_finishes(
    calm: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / FOLDERS["rnn"]
    with Driver("rnn", "--root", root, "--set", "train.max_failures=0", script=JOB) as driver:
        driver.wait_until(beyond(folder, 2, driver))
        kill_a_worker(driver, 1)
        assert driver.wait() == 1, driver.output()
        assert not driver.orphans()
        output = driver.output()
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: training gave up: ") and last.endswith("; run the same command again to go on")
    before = kept_epochs(folder)
    assert_unfinished(folder, capsys)
    with Driver("rnn", "--root", root, script=JOB) as driver:
        assert driver.wait() == 0, driver.output()
    assert_as_if_nothing_had_happened(root, calm, "rnn", before)


def test_ctrl_c_ends_a_training_with_a_word(root: Path) -> None:
    """Ray Train by itself would end the driver with exit code 0 and no word."""
    with Driver("rnn", "--root", root, script=JOB) as driver:
        driver.wait_until(beyond(root / FOLDERS["rnn"], 1, driver))
        driver.process.send_signal(signal.SIGINT)
        assert driver.wait() == 130, driver.output()
        assert not driver.orphans()
        assert driver.output().strip().splitlines()[-1].startswith("error: interrupted; ")
    folder = root / FOLDERS["rnn"]
    assert kept_epochs(folder) or (folder / "config.json").exists(), "what was kept is gone"
