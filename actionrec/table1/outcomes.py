"""Outcomes of the sweep's trials under a root: one JSON file each, written whole when the trial has ended."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.store import Store

BASELINE = "mean over time + SVM"  # what stands beside the rows: no network, and no seed but the first


@dataclass(frozen=True)
class Outcome:
    """One row of Table I with one seed, or the baseline.

    The ranks say of each video how many classes came before its own. A trial that failed, or that the scheduler
    stopped, has none: only finished networks are judged.
    """

    fingerprint: str  # of the stage, with the seed
    name: str
    seed: int
    status: str  # done | stopped | failed
    reason: str = ""  # where failed
    parameters: int = 0
    best_epoch: int = -1
    history: tuple[dict[str, Any], ...] = ()  # one mapping an epoch
    val_rank: tuple[int, ...] = ()
    test_rank: tuple[int, ...] = ()


def write_outcome(store: Store, outcome: Outcome) -> None:
    store.put(layout.trial(outcome.name, outcome.seed), json.dumps(asdict(outcome), allow_nan=False).encode())
    if outcome.status != "failed":
        store.delete(layout.trial(outcome.name, outcome.seed, "safetensors"))


def read_outcome(store: Store, name: str, seed: int, fingerprint: str) -> Outcome | None:
    """What came of it, or None while nothing has. InputError where the file is damaged or of another sweep."""
    key = layout.trial(name, seed)
    try:
        found = json.loads(store.read(key))
        outcome = Outcome(**{field.name: found[field.name] for field in fields(Outcome)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{store.url}/{key}: damaged; delete it and run `actionrec tune rnn` again") from None
    if outcome.fingerprint != fingerprint:
        raise InputError(f"{store.url}/{key}: made with other settings or data; delete it and run again")
    return outcome
