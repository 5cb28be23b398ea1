"""What is looked up is what would be counted."""

import subprocess
import sys
from typing import Any

import pytest

from actionrec import config
from actionrec.features import vggish
from actionrec.planning import costs, rates
from actionrec.storage.streams import STREAMS

ROWS = [(stream, keys, values) for stream, (keys, rows) in costs.KNOWN.items() for values in rows]


@pytest.mark.parametrize(("stream", "keys", "values"), ROWS, ids=lambda value: str(value))
def test_a_known_cost_is_the_counted_one(stream: str, keys: tuple[str, ...], values: tuple[Any, ...]) -> None:
    settings = config.load([config.set_layer(f"{key}={value}" for key, value in zip(keys, values, strict=True))])
    known, counted = costs.cost(stream, settings), STREAMS[stream].cost(settings)
    assert vars(known) == pytest.approx(vars(counted))


@pytest.mark.parametrize("name", ["demo", "ucf101"])
def test_the_named_configurations_are_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load([config.read_layer(name)])
    wanted = {stream: STREAMS[stream].cost(settings) for stream in STREAMS}
    monkeypatch.setattr(type(STREAMS["flow"]), "cost", None)
    assert {stream: vars(costs.cost(stream, settings)) for stream in STREAMS} == {
        stream: pytest.approx(vars(each)) for stream, each in wanted.items()
    }


def test_what_is_not_known_is_counted() -> None:
    settings = config.load([{"frame": {"model": "test_resnet", "size": 64}}])
    assert costs.cost("spatial", settings) == STREAMS["spatial"].cost(settings)


def test_an_example_of_sound_is_as_long_as_the_network_has_it() -> None:
    assert rates.EXAMPLE_S == vggish.EXAMPLE_S


def test_a_forecast_builds_no_network() -> None:
    program = "from actionrec.cli import main; main(['plan', '--videos', '9'])"
    heavy = "{'torch', 'timm', 'sklearn', 'pandas', 'cv2', 'ray'}"
    end = f"import sys, atexit; atexit.register(lambda: print({heavy} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", f"{end}; {program}"], capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines()[-1] == "set()", ended.stdout + ended.stderr
