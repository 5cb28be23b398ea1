"""How the sweep's scheduler counts."""

from actionrec.config import load
from actionrec.distributed.trials import Sweep
from actionrec.distributed.tune import _scheduler


def scheduler(settings: dict[str, object]) -> object:
    return _scheduler(Sweep(load([{"tune": settings}]), "nowhere", "f", ["a", "b"], {}))


def test_asha_counts_our_epochs() -> None:
    """Ray's own iterations begin at 1 again where a trial goes on from its checkpoint."""
    found = scheduler({"scheduler": "asha"})
    assert found._time_attr == "epochs"  # type: ignore[attr-defined]
    assert scheduler({"scheduler": "none"}) is None
