"""The disk under a root is full midway: the run says so, leaves no half file, and goes on once there is space."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.conftest import Calm
from tests.faults.drivers import Driver, assert_a_rerun_writes_nothing, finish, marks
from tests.tiny_roots import assert_accounted, assert_equal_values, committed_files

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system of 256 KiB where the features go."""
    folder = root / "features"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_the_run_with_a_sentence_and_no_half_file(calm: Calm, root: Path, small_disk: Path) -> None:
    with Driver("--root", root) as driver:
        assert driver.wait() == 1
        assert not driver.orphans()
        last = driver.output().strip().splitlines()[-1]
        assert "Traceback" not in driver.output()
    assert last.startswith("error: ") and "No space left on device" in last and str(root) in last
    assert 0 < len(marks(root)) < len(calm.ids), "the disk was not full midway"
    for path in small_disk.rglob("*.parquet"):
        pq.read_table(path)
    assert not list(small_disk.rglob(".tmp-*"))
    kept = committed_files(root)

    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    finish(root)
    assert {name: stamp for name, stamp in committed_files(root).items() if name in kept} == kept
    assert_accounted(root, calm.ids)
    assert_equal_values(root, calm.values, calm.ids)
    assert_a_rerun_writes_nothing(root)
