"""One Ray session for every test here: starting one costs seconds, and the runs share nothing in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tiny_roots import Values, actionrec, new_root, values, write_clips

NUMBERS = range(7)


class Run(NamedTuple):
    """A finished extraction of the clips NUMBERS."""

    source: Path
    root: Path
    ids: list[str]
    values: Values


@pytest.fixture(scope="session")
def ray_session(s3_bucket: tuple[str, str]) -> Iterator[None]:
    """Open for the whole test session. After s3_bucket: workers inherit its credentials when Ray starts."""
    from actionrec.cluster.session import session

    with session():
        yield


@pytest.fixture(scope="session")
def plain_run(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Good clips, two actors, parts of two: what every other run's values are held against."""
    folder = tmp_path_factory.mktemp("plain")
    ids = write_clips(folder / "videos", NUMBERS)
    root = new_root(folder / "root", folder / "videos")
    assert actionrec("extract", "--root", root) == 0
    return Run(folder / "videos", root, ids, values(root))
