"""What is said while work runs, where no terminal redraws it."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from actionrec.show import console
from actionrec.show.tables import Grid


def test_slow_work_is_not_said_to_run_at_nothing_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Display("epochs") as display:
        display.stage("rnn-spatial (1 of 3)")
        for done in range(3):
            display.update(done, 20, note="validation loss 1.000")
            now[0] += 12
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "rnn-spatial (1 of 3): 2 of 20 epochs, 12 s an epoch, validation loss 1.000, 3.6 min left"


def test_before_anything_is_done_no_rate_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Display("videos") as display:
        now[0] += 30
        display.update(0, 7, failed=1)
    assert capsys.readouterr().err.splitlines() == ["starting: 0 of 7 videos, 1 failed"]


def test_a_name_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a folder or a file is called may hold anything."""
    bad = "walk\x1b[2J\x07\u202eing"
    console.out.print(f"[bold]{bad}[/bold]\nnext line")
    console.grid(Grid(["class"], [[bad]]))
    console.summary(bad, {"videos": bad}, {bad: ("corrupt", bad)})
    console.err.print(f"error: {bad}", markup=False)
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)
    assert "walk\ufffd[2J\ufffding\nnext line" in said.out and "error: walk\ufffd[2J" in said.err


def test_rows_for_programs_go_to_standard_output_beside_a_display_on_a_terminal(tmp_path: Path) -> None:
    code = "from actionrec.show import console\nwith console.err.status('at work'):\n    console.data('a,1')\n"
    ours, theirs = pty.openpty()
    try:
        with open(tmp_path / "rows.csv", "wb") as rows:
            command, environment = [sys.executable, "-c", code], os.environ | {"TERM": "xterm"}
            subprocess.run(command, stdout=rows, stderr=theirs, env=environment, check=True, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (tmp_path / "rows.csv").read_text() == "a,1\n"


def test_steps_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    told = console.steps(3)
    told("catalog")
    told("train [x]")
    assert capsys.readouterr().err.splitlines() == ["step 1 of 3: catalog", "step 2 of 3: train [x]"]
