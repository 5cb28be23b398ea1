"""Money goes by prices that somebody gives, for every planned machine."""

import pytest

from actionrec.errors import InputError
from actionrec.planning.prices import per_hour


def test_prices_add_up_over_the_nodes() -> None:
    assert per_hour(["g6.2xlarge=4", "c7i.2xlarge=2"], ["g6.2xlarge=1.5", "c7i.2xlarge=0.25"]) == 6.5
    assert per_hour(["local=1"], []) is None


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        (["g6.2xlarge"], "TYPE=PER_HOUR"),
        (["g6.2xlarge=cheap"], "TYPE=PER_HOUR"),
        (["g6.2xlarge=-1"], "TYPE=PER_HOUR"),
        (["g6.2xlarge=inf"], "TYPE=PER_HOUR"),
        (["g6.2xlarge=1", "p5.48xlarge=9"], "no such node is planned"),
        (["g6.2xlarge=1"], "there is none for c7i.2xlarge"),
    ],
)
def test_a_price_that_cannot_be_used_is_refused(prices: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        per_hour(["g6.2xlarge=4", "c7i.2xlarge=2"], prices)
