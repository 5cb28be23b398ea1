"""Configuration: layers, dotted names in every refusal, and a dump that loads back."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrec import config
from actionrec.errors import InputError
from actionrec.storage.streams import networks, random_networks
from actionrec.weights import installed


def test_the_defaults_are_the_papers() -> None:
    defaults = config.Config()
    assert (defaults.clip.max_s, defaults.clip.width, defaults.clip.height) == (36, 320, 240)
    assert (defaults.sampling.method, defaults.sampling.max_frames) == ("adaptive", 180)
    assert (defaults.flow.model, defaults.frame.model, defaults.frame.size) == ("flownet2", "inception_resnet_v2", 299)
    assert defaults.audio.pca


def test_later_layers_win_and_leave_the_rest() -> None:
    merged = config.load([{"flow": {"model": "dis"}, "seed": 1}, {"seed": 2}])
    assert (merged.flow.model, merged.seed, merged.flow.bound_px) == ("dis", 2, 20.0)


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("flow.modle=dis", "flow.modle"),
        ("nonsense=1", "nonsense"),
        ("flow=dis", "flow"),
        ("clip.max_s=-1", "clip.max_s"),
        ("clip.max_s=.nan", "clip.max_s"),
        ("clip.max_s=.inf", "clip.max_s"),
        ("clip.max_s=1e309", "clip.max_s"),
        ("clip.width=3.5", "clip.width"),
        ("clip.width=true", "clip.width"),
        ("clip.width=", "clip.width"),
        ("data.split=4", "data.split"),
        ("data.split=true", "data.split"),
        ("data.dataset=imagenet", "data.dataset"),
        ("sampling.method=[adaptive]", "sampling.method"),
        ("extract.actors=0", "extract.actors"),
        ("audio.pca=maybe", "audio.pca"),
        ("audio.weights=rndom", "audio.weights"),
        ("frame.weights=imagenet", "frame.weights"),
        ("flow.weights=pretraind", "flow.weights"),
        ("flow.model=!!python/object/apply:os.system ['true']", "flow.model"),
        ("seed", "seed"),
        ("streams=spatial", "streams"),
    ],
)
def test_nonsense_is_refused_by_its_dotted_name(assignment: str, named: str) -> None:
    with pytest.raises(InputError) as refusal:
        config.load([config.set_layer([assignment])])
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system ['true']", "- 1", "{", "a: b: c", "&a [*a]", "\x00", "? [1]\n: 2\n? [1, 2]\n: 3"],
)
def test_yaml_that_is_no_plain_mapping_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"hostile\.yaml|unknown key"):
        config.load([config.parse_layer(text, "hostile.yaml")])


def test_every_named_config_loads() -> None:
    names = [path.stem for path in config.NAMED_CONFIGS.glob("*.yaml")]
    assert {"demo", "ucf101"} <= set(names)
    for name in names:
        config.load([config.read_layer(name)])


@pytest.mark.parametrize("name", ["demo", "fight"])
def test_what_runs_on_a_laptop_has_no_random_network_and_downloads_nothing(name: str) -> None:
    settings = config.load([config.read_layer(name)])
    assert random_networks(settings, settings.streams) == []
    assert list(networks(settings, settings.streams).values()) == ["frame"]
    assert settings.frame.weights == "pretrained" and settings.frame.model in installed.FRAME


def test_a_config_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InputError, match="demo"):
        config.read_layer("no-such-config")


@given(st.data())
def test_a_dump_loads_back(data: Any) -> None:
    source = data.draw(st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"])))
    changed = dataclasses.replace(
        config.Config(seed=data.draw(st.integers(0, 2**31 - 1))),
        data=config.Data(source=source, allow_group_leak=data.draw(st.booleans())),
        clip=config.Clip(max_s=data.draw(st.floats(0.04, 3600))),
    )
    assert config.load([config.parse_layer(config.dump(changed), "dump")]) == changed
