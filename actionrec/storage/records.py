"""A stage's record: what it was begun with, the name by which its files go, and how a run would differ from it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from actionrec.config import Config
from actionrec.storage.stages import differing, settings

FORMAT = 1  # raised when the meaning of a stored value changes, so that old roots are refused rather than mixed

Record = Mapping[str, Any]  # as JSON holds it: format, fingerprint, inputs and settings


def fingerprint(stage: str, config: Config, inputs: Mapping[str, str]) -> str:
    """The name of what `stage` makes: a hash of everything that decides its values, settings and inputs.

    The inputs are the sha256 of networks' weights, the fingerprints of earlier stages, and what videos were used.
    """
    parts = {"format": FORMAT, "settings": settings(stage, config), "inputs": dict(inputs)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def described(stage: str, config: Config, inputs: Mapping[str, str]) -> dict[str, Any]:
    """The record of a stage that this configuration makes of these inputs."""
    return {
        "format": FORMAT,
        "fingerprint": fingerprint(stage, config, inputs),
        "inputs": dict(inputs),
        "settings": settings(stage, config),
    }


def dumped(record: Record) -> bytes:
    return json.dumps(record, indent=1).encode()


def parsed(data: bytes) -> dict[str, Any] | None:
    """The record that a file holds; None where it is damaged."""
    try:
        found: dict[str, Any] = json.loads(data)
        whole = isinstance(found["settings"], dict) and isinstance(found["inputs"], dict) and found["fingerprint"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if whole else None


def changes(theirs: Record, mine: Record) -> list[str]:
    """In what two records of a stage differ, in words; their fingerprints are names, and not compared."""
    names = [f"inputs {name}" for name in _unequal(theirs["inputs"], mine["inputs"])]
    names += [f"settings {name}" for name in differing(theirs["settings"], mine["settings"])]
    return names if theirs.get("format", FORMAT) == FORMAT else [*names, "versions of this program"]


def _unequal(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
