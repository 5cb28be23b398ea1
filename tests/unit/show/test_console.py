"""What is said while work runs, where no terminal redraws it."""

import pytest

from actionrec.show import console


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


def test_steps_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    told = console.steps(3)
    told("catalog")
    told("train [x]")
    assert capsys.readouterr().err.splitlines() == ["step 1 of 3: catalog", "step 2 of 3: train [x]"]
