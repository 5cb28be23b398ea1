"""Starts of Ray take turns, and one that did not come up is made once more. Ray itself is played."""

import subprocess
import threading
from pathlib import Path

import pytest
from ray._private.node import Node
from ray._private.services import ProcessInfo

from actionrec.cluster import start


class Unborn(Node):
    """Raises while it is made, after it has started a process, as Ray's node does when its raylet is late."""

    def __init__(self, started: list[subprocess.Popen[bytes]]) -> None:
        self.removal_lock = threading.Lock()
        started.append(subprocess.Popen(["sleep", "600"]))
        self.all_processes = {"raylet": [ProcessInfo(started[-1], *[None] * (len(ProcessInfo._fields) - 1))]}
        raise RuntimeError("the node is late,\nsaid Ray")


@pytest.fixture(autouse=True)
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No other start on this machine is waited for."""
    monkeypatch.setattr(start, "TURNS", str(tmp_path / "turns"))
    return tmp_path / "turns"


@pytest.fixture
def started() -> list[subprocess.Popen[bytes]]:
    return []


def test_starts_take_turns(turns: Path) -> None:
    entered, may_leave, other = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with start.turn():
            entered.set()
            may_leave.wait()

    threads = [threading.Thread(target=first), threading.Thread(target=start.start_in_turn, args=(other.set,))]
    threads[0].start()
    entered.wait()
    threads[1].start()
    assert not other.wait(0.5), "a second start began while the first was under way"
    may_leave.set()
    for thread in threads:
        thread.join()
    assert other.is_set()


def test_a_turn_that_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "TURN_S", 0.2)
    begun: list[int] = []
    with start.turn():
        start.start_in_turn(lambda: begun.append(1))
    assert begun == [1]


def test_without_the_file_nobody_waits(turns: Path, tmp_path: Path) -> None:
    (tmp_path / "another's").write_text("")
    turns.symlink_to(tmp_path / "another's")
    begun: list[int] = []
    with start.turn():  # of no file: a link that somebody has put there is not followed
        start.start_in_turn(lambda: begun.append(1))
    assert begun == [1]


def test_what_a_failed_start_left_is_ended_and_one_more_is_made(
    started: list[subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    def begin() -> None:
        if not started:
            Unborn(started)
        assert started[0].poll() is not None, "the first one's process still runs"

    start.start_in_turn(begin)
    assert len(started) == 1
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and said.endswith("it said: the node is late, said Ray\n")


def test_a_start_that_fails_again_leaves_nothing_either(started: list[subprocess.Popen[bytes]]) -> None:
    def begin() -> None:
        Unborn(started)

    with pytest.raises(RuntimeError, match="late"):
        start.start_in_turn(begin)
    assert [process.poll() is not None for process in started] == [True, True]


def test_what_ray_refuses_before_it_starts_anything_is_asked_once() -> None:
    asked: list[int] = []

    def begin() -> None:
        asked.append(1)
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        start.start_in_turn(begin)
    assert asked == [1]
