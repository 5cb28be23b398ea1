"""Cores that are there: threads of one core are one, and a container's limit counts."""

from pathlib import Path

import pytest

from actionrec.cluster import cores
from actionrec.cluster.cores import Cores


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of two cores with two threads each."""
    for number, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        written(tmp_path / f"cpu{number}/topology/thread_siblings_list", siblings)
    monkeypatch.setattr(cores, "TOPOLOGY", tmp_path)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(cores.platform, "system", lambda: "Linux")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    cores.here.cache_clear()
    yield tmp_path
    cores.here.cache_clear()


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_threads_of_one_core_are_one_core(system: Path) -> None:
    assert cores.here() == Cores(4, 4, 2, None)
    assert cores.here().said() == "4 usable, 2 real, 4 logical"


def test_cores_that_this_process_may_not_run_on_do_not_count(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 2}, raising=False)
    assert (cores.here().usable, cores.here().physical) == (2, 1)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"own": "0::/", "cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"own": "0::/", "cgroup/cpu.max": "max 100000"}, None),
        ({"own": "0::/a/b", "cgroup/a/cpu.max": "200000 100000", "cgroup/a/b/cpu.max": "max 100000"}, 2.0),
        (
            {
                "own": "5:cpu,cpuacct:/docker/x\n0::/",
                "cgroup/cpu/cpu.cfs_quota_us": "300000",
                "cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        ({"own": "1:cpu:/", "cgroup/cpu/cpu.cfs_quota_us": "-1", "cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_containers_limit_counts(system: Path, files: dict[str, str], limit: float | None) -> None:
    for name, text in files.items():
        written(system / name, text)
    assert cores.here().limit == limit
    assert cores.here().usable == {1.5: 2, 2.0: 2, 3.0: 3, None: 4}[limit]


def test_a_system_that_tells_nothing_has_as_many_as_it_says(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "TOPOLOGY", system / "none")
    assert cores.here().said() == "4 usable, 4 logical"
