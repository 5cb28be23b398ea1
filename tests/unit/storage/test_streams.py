"""Which streams a configuration asks for, and that a row of the table is all that there is to a stream."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from actionrec import config
from actionrec.errors import InputError
from actionrec.storage import provenance
from actionrec.storage.root import begin, open_root
from actionrec.storage.stages import STAGES
from actionrec.storage.streams import STREAMS, Stream, above, extracted, random_networks, wanted


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("flow", "spatial", "motion", "audio")),
        ({"streams": ["spatial"]}, ("flow", "spatial")),
        ({"streams": ["spatial"], "sampling": {"method": "uniform"}}, ("spatial",)),
        ({"streams": ["spatial"], "sampling": {"method": "constant"}}, ("spatial",)),
        ({"streams": ["motion"], "sampling": {"method": "uniform"}}, ("flow", "spatial", "motion")),
        ({"streams": ["audio"]}, ("audio",)),
        ({"streams": ["spatial"], "sampling": {"method": "uniform"}, "tune": {"stream": "audio"}}, ("spatial",)),
        ({"streams": ["audio"], "tune": {"stream": "motion", "in_run": True}}, ("flow", "spatial", "motion", "audio")),
        ({"streams": ["spatial"], "data": {"dataset": "features"}}, ("spatial",)),
    ],
)
def test_what_is_asked_for_comes_with_what_it_is_made_from(settings: dict[str, Any], expected: tuple[str, ...]) -> None:
    asked = config.load([settings])
    assert wanted(asked) == expected
    assert extracted(asked) == tuple(name for name in expected if name != "motion")


@pytest.mark.parametrize("settings", [{"streams": ["spatial", "sound"]}, {"tune": {"stream": "flow"}}])
def test_a_stream_that_there_is_not_is_named_with_those_that_there_are(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    words = r"(streams\[1\]|tune\.stream) must be one of spatial, motion, audio, not '(sound|flow)'"
    with pytest.raises(InputError, match=words):
        open_root(str(tmp_path), [settings])
    with pytest.raises(InputError, match=words):
        wanted(config.load([settings]))


RANDOM = {name: {"weights": "random"} for name in ("flow", "frame")} | {"audio": {"weights": "random", "pca": False}}
UNIFORM = {"sampling": {"method": "uniform"}}


@pytest.mark.parametrize(
    ("settings", "streams", "expected"),
    [
        ({}, ["spatial", "motion", "audio"], []),
        (RANDOM, ["spatial", "motion", "audio"], ["flow", "frame", "audio"]),
        (RANDOM, ["spatial"], ["flow", "frame"]),
        (RANDOM | UNIFORM, ["spatial"], ["frame"]),
        (RANDOM | UNIFORM, ["motion"], ["flow"]),  # of the frames only where they lie
        (RANDOM | {"flow": {"model": "dis", "weights": "random"}}, ["spatial"], ["frame"]),
        (RANDOM | {"frame": {"weights": "pretrained"}}, ["motion", "audio"], ["flow", "audio"]),
        (RANDOM, ["audio"], ["audio"]),
        (RANDOM | {"audio": {"model": "logmel", "weights": "random"}}, ["audio"], []),
        (RANDOM | {"data": {"dataset": "features"}}, ["spatial"], []),
    ],
)
def test_only_networks_that_were_used_are_called_random(
    settings: dict[str, Any], streams: list[str], expected: list[str]
) -> None:
    assert random_networks(config.load([settings]), streams) == expected


def test_no_table_speaks_of_a_network_that_nothing_it_shows_was_made_by(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), [RANDOM, UNIFORM, {"streams": ["spatial"], "tune": {"stream": "audio"}}])
    assert provenance.weights(root) == "random (frame)"
    assert provenance.weights(root, [root.config.tune.stream]) == "random (audio)"


def test_the_origin_that_a_root_has_noted_is_what_is_said_of_its_weights(tmp_path: Path) -> None:
    lite = {"frame": {"model": "lite"}, "flow": {"model": "dis"}, "audio": {"model": "logmel"}}
    root = open_root(str(tmp_path), [lite, UNIFORM])
    assert provenance.weights(root) == "lite, pretrained"  # nothing has been noted yet
    noted = {"sha256": "5793", "description": "lite, pretrained (from the package lite-weights 0.1, sha256 57)"}
    root.store.put("weights/frame-lite-pretrained.json", json.dumps(noted).encode())
    begin(root, "spatial", {"frame weights": "5793"})
    assert provenance.weights(root) == noted["description"]
    assert provenance.weights(root, ["audio"]) == "none but those that were trained here"
    mixed = dataclasses.replace(
        root, config=config.load([lite, UNIFORM, {"audio": {"model": "vggish", **RANDOM["audio"]}}])
    )
    assert provenance.weights(mixed) == f"random (audio); {noted['description']}"
    root.store.delete("weights/frame-lite-pretrained.json")
    root.store.put("weights/frame-lite-pretrained.json", b"{")
    with pytest.raises(InputError, match=r"frame-lite-pretrained\.json: not a record of weights"):
        provenance.weights(root)


@pytest.mark.parametrize("row", STREAMS.values(), ids=STREAMS)
def test_a_streams_section_is_one_of_the_configuration(row: Stream) -> None:
    assert dataclasses.is_dataclass(getattr(config.Config(), row.section, None))


def test_two_streams_of_one_section_name_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = dataclasses.replace(STREAMS["spatial"], name="colour", needs=lambda config: ("spatial",))
    monkeypatch.setitem(STREAMS, "colour", colour)
    assert random_networks(config.load([RANDOM | UNIFORM]), ["colour"]) == ["frame"]


def test_what_a_stream_is_made_from_comes_before_it() -> None:
    order = list(STREAMS)
    for name in STREAMS:
        for upper in above(name, config.Config()):
            assert order.index(upper) < order.index(name)
            assert list(STAGES).index(upper) < list(STAGES).index(name)


def test_two_that_set_different_things_at_once_keep_both(tmp_path: Path) -> None:
    open_root(str(tmp_path)).save_config()
    one = open_root(str(tmp_path), [{"streams": ["audio"], "audio": {"weights": "random", "pca": False}}])
    other = open_root(str(tmp_path), [{"streams": ["spatial"], "frame": {"size": 64}}])
    for driver in (one, other):
        driver.save_config()
    kept = open_root(str(tmp_path)).config
    assert (kept.audio.weights, kept.frame.size, kept.streams) == ("random", 64, ("spatial",))
    before = open_root(str(tmp_path)).store.versions("")
    one.save_config()  # its streams come last now, and nothing else has gone
    kept = open_root(str(tmp_path)).config
    assert (kept.audio.weights, kept.frame.size, kept.streams) == ("random", 64, ("audio",))
    one.save_config()
    assert before.keys() == open_root(str(tmp_path)).store.versions("").keys()
