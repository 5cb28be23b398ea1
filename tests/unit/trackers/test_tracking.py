"""A tool is shown every epoch once; one that fails, hangs or is not there costs a training nothing but a sentence."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actionrec.config import Storage
from actionrec.errors import InputError
from actionrec.storage.local_store import LocalStore
from actionrec.storage.store import Store, open_store
from actionrec.trackers import tools, tracking
from actionrec.trackers.run import TrackedRun
from actionrec.trackers.tracking import Tracking
from tests.tiny_features import make_root
from tests.tiny_roots import actionrec, snapshot

RUN = TrackedRun("models/rnn-spatial", "rnn-spatial, seed 0", "runs/mine", {"lr": 0.01})
HISTORY = [{"epoch": number, "val_loss": 1.0 / (1 + number), "samples": 3} for number in range(4)]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_given_up", set())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return LocalStore(str(tmp_path / "root"))


def losses(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, round(event.value, 3)) for event in events.Scalars("val_loss")]


WANTED = [(1, 1.0), (2, 0.5), (3, 0.333), (4, 0.25)]


def test_tensorboard_is_shown_every_epoch_once(store: Store) -> None:
    other = TrackedRun("models/rnn-audio", "rnn-audio, seed 0", "runs/mine", {})
    with Tracking(["tensorboard"], store) as told:
        for count in (1, 1, 3):
            told.told(RUN, HISTORY[:count])
        told.told(RUN, HISTORY)
        told.told(other, HISTORY[:1])
        told.told(RUN, HISTORY)  # nothing new
    logs = Path(store.url, "logs/tensorboard")
    assert losses(logs / RUN.key) == WANTED and losses(logs / other.key) == WANTED[:1]


def test_nothing_that_lies_where_the_command_is_typed_is_imported_for_a_tool(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboardX", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with Tracking(["tensorboard"], store) as told:
        told.told(RUN, HISTORY)
    assert losses(Path(store.url, "logs/tensorboard", RUN.key)) == WANTED and not (tmp_path / "ran").exists()


def test_a_training_that_goes_on_has_no_epoch_twice(store: Store) -> None:
    for count in (2, 4):  # the second process is told all of it
        with Tracking(["tensorboard"], store) as told:
            told.told(RUN, HISTORY[:count])
    assert losses(Path(store.url, "logs/tensorboard", RUN.key)) == WANTED


def test_the_event_files_of_a_root_in_a_bucket_are_copied_there(tmp_path: Path) -> None:
    store = open_store(f"memory://bucket/{tmp_path.name}", Storage())
    for count in (2, 4):
        with Tracking(["tensorboard"], store) as told:
            told.told(RUN, HISTORY[:count])
    [key] = store.sizes("logs/")
    assert key.startswith("logs/tensorboard/models/rnn-spatial/events.out")
    (tmp_path / Path(key).name).write_bytes(store.read(key))
    assert losses(tmp_path) == WANTED


def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A package that is called mlflow, whose import does this."""
    (tmp_path / "mlflow.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise OSError('http://me:pa55word@host refused k3y-of-mine')", "OSError: http://***@host refused ***"),
        ("import os; os._exit(3)", "its process ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process ended with exit code -9"),
    ],
)  # fmt: skip
def test_a_tool_that_fails_is_one_warning_without_secrets_and_is_told_no_more(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    said: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "k3y-of-mine")
    played(tmp_path, monkeypatch, program)
    for _ in range(2):
        with Tracking(["mlflow", "tensorboard"], store) as told:
            told.told(RUN, HISTORY)
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"warning: mlflow is told no more, and the training goes on without it: {said}"
    assert losses(Path(store.url, "logs/tensorboard", RUN.key)) == WANTED  # the other one is


def test_a_tool_that_hangs_holds_nothing_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "CLOSE_S", 0.5)
    played(tmp_path, monkeypatch, "import time; time.sleep(600)")
    many = [{"epoch": number, "val_loss": 1.0, "name": "1" * 50} for number in range(5000)]  # more than a pipe holds
    with Tracking(["mlflow"], store) as told:
        begun = time.monotonic()
        told.told(RUN, many)
        assert time.monotonic() - begun < 60
        process = told._feeds["mlflow"]._process
    assert process.poll() is not None
    [line] = capsys.readouterr().err.splitlines()
    assert "mlflow is told no more" in line and "did not take what it was told" in line


@pytest.mark.parametrize("link", ["logs", "logs/tensorboard"])
def test_nothing_is_written_through_a_link(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path(store.url, link).parent.mkdir(parents=True, exist_ok=True)
    Path(store.url, link).symlink_to(elsewhere)
    with Tracking(["tensorboard"], store) as told:
        told.told(RUN, HISTORY)
    assert "is a link" in capsys.readouterr().err and not list(elsewhere.iterdir())


def missing(name: str) -> None:
    return None


def test_a_tool_that_is_not_installed_is_a_sentence_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", missing)
    root = make_root(tmp_path / "root")
    before = snapshot(Path(root.store.url))
    for verb in (["train", "rnn"], ["train", "motion"], ["tune", "rnn"], ["anomaly"], ["run"]):
        assert actionrec(*verb, "--root", root.store.url, "--set", "log=[wandb]") == 2
        assert "log: wandb is not installed; run `.venv/bin/pip install wandb`" in capsys.readouterr().err
    assert snapshot(Path(root.store.url)) == before


def test_a_tool_that_keeps_files_wants_a_folder_or_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tools.refuse_missing(["tensorboard", "mlflow"], "/a/folder")
    tools.refuse_missing(["tensorboard"], "s3://bucket/run")
    with pytest.raises(InputError, match=r"mlflow keeps files.*MLFLOW_TRACKING_URI"):
        tools.refuse_missing(["mlflow"], "s3://bucket/run")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    tools.refuse_missing(["mlflow"], "s3://bucket/run")


@pytest.mark.parametrize("value", ["[tensorboad]", "tensorboard"])
def test_another_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any) -> None:
    root = make_root(tmp_path / "root")
    assert actionrec("train", "rnn", "--root", root.store.url, "--set", f"log={value}") == 2
    assert "log" in capsys.readouterr().err
