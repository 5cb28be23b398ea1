"""How the sweep's scheduler counts."""

from actionrec.cluster.packing import halving
from actionrec.config import load


def scheduler(settings: dict[str, object]) -> object:
    return halving(load([{"tune": settings}]).tune, 5)


def test_asha_counts_our_epochs() -> None:
    """Ray's own iterations begin at 1 again where a trial goes on from its checkpoint."""
    found = scheduler({"scheduler": "asha"})
    assert found._time_attr == "epochs"  # type: ignore[attr-defined]
    assert scheduler({"scheduler": "none"}) is None
