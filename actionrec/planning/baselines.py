"""The networks of the systems of Table II, as far as a forecast needs them: how many weights see each step."""

from collections.abc import Mapping
from itertools import pairwise

from actionrec.config import Config, Training

Networks = list[tuple[Training, dict[str, float]]]  # how one is trained; stream -> weights that each of its steps meets


def networks(system: str, config: Config, widths: Mapping[str, int], classes: int) -> Networks:
    """Of one seed of a system that can run: see the files of table2/ that have these names."""
    knobs = config.baselines
    match system:
        case "two_stream":
            return [(knobs.two_stream, {"spatial": float(widths["spatial"] * classes)})]
        case "multi_stream":
            own = {
                stream: float(widths[stream] * classes)
                if stream == "audio"
                else _recurrent("lstm", (widths[stream], *knobs.multi_stream.units))
                for stream in config.streams
            }
            return [(knobs.multi_stream, {stream: weights}) for stream, weights in own.items()]
        case _:
            units = knobs.video2vec.units
            both = {stream: _recurrent("gru", (widths[stream], units)) for stream in ("spatial", "motion")}
            return [(knobs.video2vec, both)]


def layer_weights(cell: str, taken: int, units: int) -> int:
    """Of one recurrent layer in one direction, over `taken` numbers a step."""
    return {"lstm": 4, "gru": 3}[cell] * units * (taken + units + 2)


def _recurrent(cell: str, sizes: tuple[int, ...]) -> float:
    """Weights of layers in one direction; `sizes`: of the input and of each layer."""
    return float(sum(layer_weights(cell, taken, units) for taken, units in pairwise(sizes)))
