"""What an hour of the planned machines costs, by prices that a person gives: a price list would be wrong tomorrow."""

import math
from collections.abc import Sequence

from actionrec.errors import InputError


def per_hour(nodes: Sequence[str], prices: Sequence[str]) -> float | None:
    """Of all nodes (TYPE=COUNT) together by prices (TYPE=PER_HOUR); None: no price is given.

    InputError: a price that is no number, of a type that is not planned, or missing for one that is.
    """
    known = dict(map(_price, prices))
    wanted = [(name, int(count)) for name, _, count in (node.partition("=") for node in nodes)]
    if vain := known.keys() - {name for name, _ in wanted}:
        raise InputError(f"--price {min(vain)}: no such node is planned; name it with --nodes {min(vain)}=COUNT")
    if not known:
        return None
    if missing := [name for name, _ in wanted if name not in known]:
        raise InputError(f"--price: there is none for {missing[0]}; add --price {missing[0]}=PER_HOUR")
    return sum(known[name] * count for name, count in wanted)


def _price(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        price = float(number)
    except ValueError:
        price = math.nan
    if not (name and 0 <= price < math.inf):
        raise InputError(f"--price {text}: write it as TYPE=PER_HOUR, such as g6.2xlarge=0.98")
    return name, price
