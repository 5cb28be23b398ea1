"""Extraction as on a cluster: a head of two logical CPUs, a token, and the package in the submitted folder only."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest
import yaml

from tests.integration.head import Head, head, processes_of
from tests.tiny_roots import SMALL, assert_accounted, committed_files, link_weights, new_root, outcomes, write_clips

CHECKOUT = Path(__file__).resolve().parents[2]
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
NUMBERS = range(4)  # number 2 has no sound

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the head's processes by /proc"),
]

# What the submitted copy of the package does more than the original: every process that imports it leaves a note.
NOTE = """
import json as _json, os as _os, sys as _sys
with open(f"{folder}/{{_os.getpid()}}.json", "w") as _file:
    _json.dump({{"file": __file__, "command": " ".join(_sys.orig_argv)}}, _file)
"""


class Note(NamedTuple):
    file: Path  # of the package that the process imported
    command: str


class Finished(NamedTuple):
    """A head after an extract of the clips NUMBERS through `ray job submit`, and one that could not work."""

    head: Head
    ids: list[str]
    root: Path
    notes: list[Note]
    good: CompletedProcess[str]
    bad: CompletedProcess[str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("job")
    ids = write_clips(folder / "videos", NUMBERS)
    root = new_root(folder / "root", folder / "videos")
    (folder / "notes").mkdir()
    copy = _copy_of_the_package(folder / "copy", NOTE.format(folder=folder / "notes"))
    with head(TOKEN, num_cpus=2) as running:
        good = running.submit(copy, "python", "jobs/extract.py", "--root", root, timeout_s=240)
        notes = [_note(path) for path in (folder / "notes").iterdir()]
        bad = running.submit(copy, "python", "jobs/extract.py", "--root", folder / "nothing", timeout_s=120)
        yield Finished(running, ids, root, notes, good, bad)
    assert not processes_of(running.folder)


def _note(path: Path) -> Note:
    found = json.loads(path.read_text())
    return Note(Path(found["file"]), found["command"])


def _copy_of_the_package(copy: Path, note: str) -> Path:
    for name in ("actionrec", "jobs"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    with open(copy / "actionrec/__init__.py", "a") as file:
        file.write(note)
    return copy


def test_an_extract_finishes_on_two_logical_cpus(finished: Finished) -> None:
    assert finished.good.returncode == 0, finished.good.stdout + finished.good.stderr
    assert_accounted(finished.root, finished.ids)
    sound = {video_id: "no_audio" if number == 2 else "ok" for number, video_id in enumerate(finished.ids)}
    assert outcomes(finished.root) == {
        video_id: {"spatial": "ok", "flow": "ok", "audio": audio} for video_id, audio in sound.items()
    }


def test_the_log_shows_the_summary(finished: Finished) -> None:
    assert "4 catalogued, 4 ok, 1 without audio, 0 failed, 0 missing" in finished.good.stdout


def test_every_process_imports_the_submitted_package(finished: Finished) -> None:
    """The driver, Ray's workers and their decoders. On a cluster's machines no other is installed."""
    unpacked = finished.head.folder / "ray"
    commands = [note.command for note in finished.notes]
    for part in ("jobs/extract.py", "default_worker.py", "actionrec.media.child"):
        assert any(part in command for command in commands), commands
    for note in finished.notes:
        assert note.file.is_relative_to(unpacked) and "working_dir_files" in note.file.parts, note


def test_a_job_that_cannot_work_says_why(finished: Finished) -> None:
    assert finished.bad.returncode != 0
    assert "error:" in finished.bad.stdout and "there is no root here" in finished.bad.stdout
    assert "Traceback" not in finished.bad.stdout


def test_a_whole_run_through_the_client_leaves_its_tables(finished: Finished, tmp_path: Path) -> None:
    """Stopped once while it extracts, then submitted again."""
    ids = write_clips(tmp_path / "videos", range(18))
    link_weights(tmp_path / "root")
    settings = {**SMALL, "streams": ["spatial", "audio"], "tune": {"l2": [0.1]}}
    settings["extract"] = {**SMALL["extract"], "actors": 1}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(settings))
    copy = _copy_of_the_package(tmp_path / "copy", "")
    command = f"python jobs/run.py {tmp_path}/videos --root {tmp_path}/root --config {tmp_path}/small.yaml"
    stopped = finished.head.submit_and_follow(copy, command, f"of {len(ids)} videos", timeout_s=240)
    assert stopped.stdout.splitlines()[-1].startswith("status: STOPPED"), stopped.stdout + stopped.stderr
    kept = committed_files(tmp_path / "root")
    done = finished.head.submit_and_follow(copy, command, timeout_s=400)
    assert done.stdout.splitlines()[-1] == "status: SUCCEEDED, exit code 0", done.stdout + done.stderr
    assert "18 catalogued, 18 ok" in done.stdout and "report/index.html" in done.stdout
    assert_accounted(tmp_path / "root", ids)
    assert {name: stamp for name, stamp in committed_files(tmp_path / "root").items() if name in kept} == kept
    for name in ("ablation", "table2", "svm", "predictions", "anomaly"):
        assert (tmp_path / f"root/tables/{name}.parquet").stat().st_size > 0
    assert (tmp_path / "root/report/index.html").is_file()


def test_a_job_that_fails_is_failed_to_the_client_too(finished: Finished, tmp_path: Path) -> None:
    copy = _copy_of_the_package(tmp_path / "copy", "")
    bad = finished.head.submit_and_follow(copy, f"python jobs/evaluate.py --root {finished.root}", timeout_s=120)
    said = bad.stdout.splitlines()
    assert said[-1] == "status: FAILED, exit code 2", bad.stdout + bad.stderr
    assert any("error: " in line and "actionrec train svm" in line for line in said) and "Traceback" not in bad.stdout


def test_the_job_api_demands_the_token(finished: Finished) -> None:
    assert finished.head.answer("/api/jobs/", token=None) == 401
    assert finished.head.answer("/api/jobs/", token="0" * 64) in (401, 403)
    assert finished.head.answer("/api/jobs/", TOKEN) == 200


def test_the_token_stands_in_no_log(finished: Finished) -> None:
    files = [path for path in (finished.head.folder / "ray").rglob("*") if path.is_file()]
    assert any(path.name.startswith("job-driver-") for path in files)
    assert not [path for path in [*files, finished.head.folder / "start.log"] if TOKEN.encode() in path.read_bytes()]
    for shown in (finished.good, finished.bad):
        assert TOKEN not in shown.stdout + shown.stderr


def test_the_dashboard_listens_on_loopback_only(finished: Finished) -> None:
    """Whoever listens on every address also answers at 127.0.0.2."""
    socket.create_connection(("127.0.0.1", finished.head.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", finished.head.port), timeout=5).close()
