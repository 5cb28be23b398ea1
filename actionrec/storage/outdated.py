"""Stages that were made with other settings than a run has: which they are, and what to type so that they stay."""

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from actionrec import config as configuration
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.storage.stages import DEFAULTS, STAGES, differing, flat, settings

Settings = Mapping[str, Any]  # dotted key -> value, as a record holds it


def outdated(made: Mapping[str, Settings], config: Config) -> dict[str, list[str]]:
    """Stage -> the keys in which it was made otherwise, of the stages that `config` makes. `made`: their settings."""
    wanted = {stage: old for stage, old in made.items() if STAGES[stage].made(config)}
    return {stage: keys for stage, old in wanted.items() if (keys := differing(old, settings(stage, config)))}


def changes(stage: str, old: Settings, config: Config) -> str:
    """In words: each key with what it was and what it is now."""
    new = settings(stage, config)
    told = [(key, old.get(key, DEFAULTS.get(key)), new.get(key)) for key in differing(old, new)]
    return ", ".join(f"{key} (it was {was!r}, now {now!r})" for key, was, now in told)


def harmless(stage: str, made: Mapping[str, Settings], config: Config, stored: Config | None) -> str:
    """What to type so that the outdated stage stays as it is, as the beginning of a sentence; empty: nothing does.

    What this command does not say stands in the root's config.yaml, `stored`, since the stage lay unused.
    """
    keys = differing(made[stage], settings(stage, config))
    if stored and not differing(made[stage], settings(stage, stored)):
        return f"leave {_said_by(keys)} out, and it stays as it is; "
    if options := restoring(stage, made, config):
        return f"say {options}, and it stays as it is; "
    if stored and not STAGES[stage].made(stored):
        return f"leave {_said_by(keys)} out, and it lies unused, as it is; "
    return ""


def unused(made: Mapping[str, Settings], config: Config, stored: Config | None) -> list[str]:
    """A warning for each stage that lies unused, and that this run sets otherwise than it was made, which is stored.

    Not where that is why it lies unused: finetune.blocks=0 says so.
    """
    found = []
    for stage, old in made.items():
        keys, before = (differing(old, settings(stage, each or Config())) for each in (config, stored))
        as_it_was = _overlaid(config, _restored(stage, old, config))
        if STAGES[stage].made(as_it_was) or STAGES[stage].made(config) or set(keys) <= set(before):
            continue
        options = restoring(stage, made, config)
        found.append(
            f"the stage {stage} lies unused, and was made with other settings: {changes(stage, old, config)}; "
            f"it stays as it is{f', to be used again with {options}' if options else ''}"
        )
    return found


def restoring(stage: str, made: Mapping[str, Settings], config: Config) -> str:
    """The options that give a stage the settings that it was made with; empty where another one would be outdated."""
    values = _restored(stage, made[stage], config)
    as_it_was = _overlaid(config, values)
    left = outdated(made, as_it_was).keys() - (outdated(made, config).keys() - {stage})
    if left or differing(made[stage], settings(stage, as_it_was)):
        return ""
    return " ".join(f"--set {shlex.quote(f'{key}={_typed(value)}')}" for key, value in values.items())


def _restored(stage: str, old: Settings, config: Config) -> dict[str, Any]:
    """Key -> its value then, of the knobs by which the stage would be made otherwise now."""
    with contextlib.suppress(InputError):  # a record may hold what is no value any more: then nothing restores it
        as_recorded = _overlaid(config, _knobs(old, config))
        then = {key: old.get(key, DEFAULTS.get(key)) for key in settings(stage, as_recorded)}
        return {key: value for key, value in _knobs(then, config).items() if value != flat(config)[key]}
    return {}


def _knobs(recorded: Settings, config: Config) -> dict[str, Any]:
    """Recorded settings as keys of the configuration: of its seeds the first is recorded, and the others stay."""
    known = flat(config)
    found = {key: value for key, value in recorded.items() if key in known}
    first = [recorded[key] for key in recorded if key == "seeds[0]"]
    return found | ({"seeds": [*first, *(seed for seed in config.seeds[1:] if seed not in first)]} if first else {})


def _overlaid(config: Config, values: Settings) -> Config:
    return configuration.load([configuration.nested({**configuration.flatten(config), **values})])


def _typed(value: Any) -> str:
    """As YAML on one line, such as [spatial, audio]."""
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("\n...\n").strip()


def _said_by(keys: Sequence[str]) -> str:
    """How a person can have said these keys."""
    is_data = any(key.startswith("data.") for key in keys)
    return "`--config` or `--set`" if not is_data else "SRC, `--dataset`, `--split`, `--config` or `--set`"
