"""What a run without faults gives; every test here holds its own run against it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import drivers
from tests.tiny_roots import Values, assert_accounted, assert_equal_values, new_root, status, values, write_clips

NUMBERS = range(20)


class Calm(NamedTuple):
    source: Path
    ids: list[str]
    values: Values


def assert_as_if_nothing_had_happened(root: Path, calm: Calm) -> None:
    assert_accounted(root, calm.ids)
    assert set(status(root)["status"]) == {"ok", "no_audio"}
    assert_equal_values(root, calm.values, calm.ids)
    drivers.assert_a_rerun_writes_nothing(root)


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """Twenty clips, extracted while nothing goes wrong."""
    folder = tmp_path_factory.mktemp("calm")
    ids = write_clips(folder / "videos", NUMBERS)
    root = new_root(folder / "root", folder / "videos")
    drivers.finish(root)
    return Calm(folder / "videos", ids, values(root))


@pytest.fixture
def root(calm: Calm, tmp_path: Path) -> Path:
    """A catalogued root over the same clips, in parts of one: as many moments to be hit at as there are clips."""
    return new_root(tmp_path / "root", calm.source, "--set", "extract.part_videos=1")


@pytest.fixture(scope="session")
def ray_session(s3_bucket: tuple[str, str]) -> Iterator[None]:
    """Open from here on, for faults that leave the driver alive. After s3_bucket, whose credentials workers inherit."""
    from actionrec.cluster.session import session

    with session():
        yield
