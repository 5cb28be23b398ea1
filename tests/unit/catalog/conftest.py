"""What every test of the room needs: a listing made of names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actionrec.catalog.source import SourceFile

Listing = Callable[..., list[SourceFile]]


@pytest.fixture(scope="session")
def listing() -> Listing:
    """Files of these names, of 7 bytes each."""
    return lambda *names: [SourceFile(name, 7) for name in names]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data (shared/data beside the checkout) are absent")
    return folder
