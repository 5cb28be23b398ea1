"""Extraction as on a cluster: a head of two logical CPUs, a token, and the package in the submitted folder only."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

from tests.integration.head import Head, head, processes_of
from tests.tiny_roots import assert_accounted, new_root, outcomes, write_clips

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
    assert "error:" in finished.bad.stdout and "there is no catalog here" in finished.bad.stdout
    assert "Traceback" not in finished.bad.stdout


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
