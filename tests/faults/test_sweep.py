"""The driver and the trials of a sweep are killed: what has finished stays, and the table is that of a calm sweep."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from actionrec.storage import layout
from tests.faults.drivers import REPOSITORY, Driver
from tests.tiny_features import make_root
from tests.tiny_roots import snapshot

pytestmark = pytest.mark.timeout(900)

JOB = REPOSITORY / "jobs/tune.py"
ROWS = ["LSTM 256", "GRU 512", "BiGRU 512"]
SETTINGS = {
    "streams": ["spatial"],
    "tune": {"rows": ROWS, "trials": 1},
    "rnn": {"max_epochs": 120, "stop_epochs": 120},
}
TRIAL = b"ray::ImplicitFunc"  # what Ray Tune calls the actor of a function


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calm") / "root"
    make_root(root, settings=SETTINGS)
    with Driver("rnn", "--root", root, script=JOB) as driver:
        assert driver.wait() == 0, driver.output()
    return root


def outcomes(root: Path) -> set[str]:
    return {path.name for path in (root / "tune/rnn").glob("*.json")} if (root / "tune/rnn").exists() else set()


def under_way(root: Path, name: str) -> bool:
    return (root / layout.trial(name, 0, "safetensors")).exists()


def assert_same_table(root: Path, calm: Path) -> None:
    tables = [
        pd.read_parquet(each / "tables/table1.parquet").drop(columns="seconds_per_epoch") for each in (root, calm)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert set(tables[0].set_index("model").loc[ROWS, "status"]) == {"done"}
    assert not list((root / "tune/rnn").glob("*.safetensors"))


def test_a_killed_driver_loses_no_finished_trial_and_goes_on_within_the_unfinished_one(
    calm: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    make_root(root, settings=SETTINGS)
    with Driver("rnn", "--root", root, script=JOB) as driver:
        driver.wait_until(lambda: len(outcomes(root)) == 1 and under_way(root, "GRU 512"))
        driver.kill()
        assert not driver.orphans(), "trials outlive their driver"
    before = {name: stamp for name, stamp in snapshot(root / "tune/rnn").items() if name.endswith(".json")}
    assert 1 <= len(before) < len(ROWS)
    with Driver("rnn", "--root", root, script=JOB) as driver:
        assert driver.wait() == 0, driver.output()
        assert not driver.orphans()
    after = snapshot(root / "tune/rnn")
    assert {name: after[name] for name in before} == before
    assert_same_table(root, calm)


def test_a_killed_trial_is_run_again_from_its_checkpoint(calm: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_root(root, settings=SETTINGS)
    with Driver("rnn", "--root", root, script=JOB) as driver:
        driver.wait_until(lambda: under_way(root, "LSTM 256"))
        trials = driver.processes(TRIAL)
        assert trials, driver.output()
        for process in trials:
            os.kill(process, signal.SIGKILL)
        assert driver.wait() == 0, driver.output()
    assert_same_table(root, calm)


def test_ctrl_c_ends_a_sweep_and_leaves_no_trial_for_stopped(tmp_path: Path) -> None:
    """Ray Tune by itself would take it for the end of its trials, and the driver would go on."""
    root = tmp_path / "root"
    make_root(root, settings=SETTINGS)
    with Driver("rnn", "--root", root, script=JOB) as driver:
        driver.wait_until(lambda: under_way(root, "GRU 512"))
        driver.process.send_signal(signal.SIGINT)
        assert driver.wait() == 130, driver.output()
        assert not driver.orphans()
        assert driver.output().strip().splitlines()[-1].startswith("error: interrupted; ")
    stored = [json.loads((root / "tune/rnn" / name).read_text()) for name in outcomes(root)]
    assert {each["status"] for each in stored} <= {"done"} and len(stored) < len(ROWS)
