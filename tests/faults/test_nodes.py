"""A node is lost in the middle of the work: the others do the rest, and nothing is lost, doubled or computed anew."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Calm
from tests.faults.drivers import ACTOR, REPOSITORY, Driver, assert_a_rerun_writes_nothing, marks, processes
from tests.tiny_roots import assert_accounted, assert_equal_values, status

pytestmark = pytest.mark.timeout(600)


class Nodes:
    """The cluster of two_nodes.py, of which the drivers of this test's environment are a part."""

    def __init__(self, process: "subprocess.Popen[str]", folder: str) -> None:
        self._process, self._folder = process, folder
        self.address = self._line()

    def tell(self, what: str) -> None:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        assert self._line() == "done"

    def actors(self) -> int:
        """How many of the work's actors live on the nodes."""
        return len(processes(f"RAY_TMPDIR={self._folder}", ACTOR))

    def boards(self) -> list[bytes]:
        """Of each board the command that started it: that of its node's raylet."""
        found = []
        for pid in processes(f"RAY_TMPDIR={self._folder}", b"ray::Board"):
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            found.append(Path(f"/proc/{parent}/cmdline").read_bytes())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster has ended"
        return line


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    folder = tempfile.mkdtemp(prefix="ar-", dir="/tmp")  # short: Ray keeps sockets in it
    for name, value in {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "5" * 64,
        "PYTHONPATH": str(REPOSITORY),  # as --working-dir would have it
        "RAY_health_check_initial_delay_ms": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "3",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("two_nodes.py")],
        env=os.environ | {"RAY_TMPDIR": folder},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        cluster = Nodes(process, folder)
        cluster.tell("add")
        cluster.tell("add")
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_lost_node_costs_time_only(
    nodes: Nodes, calm: Calm, root: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    with Driver("--root", root) as driver:
        driver.wait_until(lambda: len(marks(root)) >= 4 and nodes.actors() == 2)
        (board,) = nodes.boards()
        assert b"\0--head\0" in board, "the board is not beside its driver, but on a node that comes and goes"
        nodes.tell("lose")
        driver.wait_until(lambda: nodes.actors() == 1)
        assert len(marks(root)) < len(calm.ids), "the node was lost after the work"
        if replaced:
            nodes.tell("add")
        assert driver.wait() == 0, driver.output()
    monkeypatch.delenv("RAY_ADDRESS")
    assert_accounted(root, calm.ids)
    assert set(status(root)["status"]) == {"ok", "no_audio"}
    assert_equal_values(root, calm.values, calm.ids)
    assert_a_rerun_writes_nothing(root)
