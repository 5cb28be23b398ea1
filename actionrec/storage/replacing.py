"""What --replace deletes, the note of what is being made in its place, and which --replace would do: decision 0025."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from actionrec.config import Config
from actionrec.storage import layout
from actionrec.storage.records import FORMAT
from actionrec.storage.stages import STAGES, following, named, settings
from actionrec.storage.store import Store


def note(stage: str, command: str | None, config: Config, inputs: Mapping[str, str] | None) -> dict[str, Any]:
    """What is to be made in place of what was deleted: by which command, and a hash of the settings of all of it.

    `command` is None for the stage's own verb. The hash is of what the new configuration makes from the stage, so that
    it is the same once the root has forgotten how it was configured before.
    """
    made = {name: settings(name, config) for name in following([stage], [config])}
    digest = hashlib.sha256(json.dumps([FORMAT, made, dict(inputs or {})], sort_keys=True).encode()).hexdigest()[:16]
    return {"command": command or STAGES[stage].verb, "fingerprint": digest}


def noted(store: Store, stage: str) -> dict[str, Any]:
    """The note of an unfinished --replace of the stage; empty where there is none, or none that can be read."""
    try:
        found = json.loads(store.read(layout.replacement(stage)))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def delete(store: Store, stages: Sequence[str]) -> None:
    """Delete what these stages have made, the last one first, and of each its record last."""
    for stage in reversed(stages):
        for prefix in (*STAGES[stage].owns, layout.replacement(stage), layout.stage(stage)):
            _delete(store, prefix)


def _delete(store: Store, prefix: str) -> None:
    folder, _, start = prefix.rpartition("/")
    if start.endswith(("-", ".")):
        for key in [key for key in store.sizes(f"{folder}/") if key.startswith(prefix)]:
            store.delete(key)
    else:
        store.delete(prefix)


def remedy(stages: Collection[str], there: Collection[str], configs: Sequence[Config]) -> str:
    """Options that delete these stages and all that is made from them, and nothing else of what is `there`."""
    left = set(following(stages, configs)) & set(there)
    deleted_by = {name: set(following(named(name), configs)) for name in _names()}
    harmless = {name: deleted for name, deleted in deleted_by.items() if deleted & set(there) <= left}
    chosen = []
    while left:
        name = max(harmless, key=lambda name: (len(harmless[name] & left), -len(harmless[name])))
        chosen.append(f"--replace {name}")
        left -= harmless[name]
    return " ".join(chosen)


def _names() -> dict[str, None]:
    """All that may stand after --replace: stages, then verbs."""
    return dict.fromkeys([*STAGES, *(row.verb for row in STAGES.values())])
