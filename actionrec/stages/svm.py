"""The search over the SVM as a root holds it: its attempts, tables/svm, and the setting that fusion goes by."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.errors import InputError
from actionrec.learning import metrics, search
from actionrec.learning.search import Setting
from actionrec.reporting.evaluation import render
from actionrec.stages import provenance
from actionrec.stages.labelled import labelled
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, record
from actionrec.storage.store import Store, put_changed


@dataclass(frozen=True)
class Attempt:
    """What one L2 weight came to."""

    l2: float
    val_top1: float
    converged: bool


@dataclass(frozen=True)
class Svm:
    """tables/svm."""

    table: pa.Table

    def facts(self) -> dict[str, object]:
        """What a person is told: the choice, and what the paper's L2 weight comes to beside it."""
        rows = self.table.to_pylist()
        chosen = next(row for row in rows if row["chosen"])
        same = (row for row in rows if row["streams"] == chosen["streams"] and row["l2"] == search.PAPER_L2)
        paper = max(same, key=lambda row: row["val_top1"])
        return {
            "tried": f"{len(rows)} settings on {chosen['n_val']} validation videos",
            "chosen": f"{_setting(chosen)}: validation top-1 {chosen['val_top1']:.1%}",
            "the paper's lambda": f"{_setting(paper)}: validation top-1 {paper['val_top1']:.1%}",
        }


def all_settings(root: Root) -> list[Setting]:
    """What is tried on this root."""
    return search.settings(root.config.streams, root.config.fusion, root.config.tune.l2)


def write_attempts(store: Store, key: str, fingerprint: str, attempts: Sequence[Attempt]) -> None:
    store.put(key, json.dumps({"fingerprint": fingerprint, "attempts": [asdict(each) for each in attempts]}).encode())


def read_attempts(store: Store, key: str, fingerprint: str) -> dict[float, Attempt] | None:
    """By L2 weight; None while there are none. InputError where the file is damaged or of another search."""
    try:
        found = json.loads(store.read(key))
        attempts = {each["l2"]: Attempt(**each) for each in found["attempts"]}
        owner = found["fingerprint"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{store.url}/{key}: damaged; delete it and run `actionrec tune svm` again") from None
    if owner != fingerprint:
        raise InputError(f"{store.url}/{key}: made with other settings or data; use --replace svm")
    return attempts


def write_svm(root: Root) -> Svm:
    """Make tables/svm of the root's seeds, all of whose attempts are there; a table that says the same stays."""
    fingerprint = record(root, "svm")["fingerprint"]
    rows = [_row(root, setting, fingerprint) for setting in all_settings(root)]
    chosen = search.best({_of(row): row["val_top1"] for row in rows})
    for row in rows:
        row["chosen"] = _of(row) == chosen
    table = pa.Table.from_pylist(rows, schema=schema.SVM)
    made_by = (
        f"Data: {provenance.dataset(root)}. Weights: {provenance.weights(root)}. "
        f"Seeds: {', '.join(map(str, root.config.seeds))}. Search: {fingerprint}."
    )
    put_changed(root.output, layout.table("svm", "md"), render("svm", table, made_by).encode())
    put_changed(root.output, layout.table("svm"), schema.to_parquet(table, fingerprint))
    return Svm(table)


def chosen_setting(root: Root) -> Setting | None:
    """The setting that the search chose; None where there was no search. InputError where it has not ended."""
    if not root.begun("svm"):
        return None
    key = layout.table("svm")
    try:
        data = root.output.read(key)
    except FileNotFoundError:
        raise InputError(
            f"{root.output.url}: the search over the SVM has not ended; run `actionrec tune svm` again"
        ) from None
    table = schema.from_parquet(data, schema.SVM, f"{root.output.url}/{key}")
    if schema.fingerprint_of(data) != record(root, "svm")["fingerprint"]:
        raise InputError(f"{root.output.url}/{key}: made with other settings or data; run `actionrec tune svm` again")
    return next((_of(row) for row in table.to_pylist() if row["chosen"]), None)


def _row(root: Root, setting: Setting, fingerprint: str) -> dict[str, Any]:
    attempts = []
    for seed in root.config.seeds:
        key = layout.svm_trial(setting.streams, setting.normalization, seed)
        attempts.append((read_attempts(root.output, key, seeded(fingerprint, seed)) or {})[setting.l2])
    mean, deviation = metrics.mean_sd([each.val_top1 for each in attempts])
    return {
        **asdict(setting),
        "seeds": list(root.config.seeds),
        "n_val": len(labelled(root, root.config.seeds[0])["val"].target),
        "val_top1": mean,
        "val_top1_sd": deviation,
        "converged": all(each.converged for each in attempts),
    }


def _of(row: dict[str, Any]) -> Setting:
    return Setting(tuple(row["streams"]), row["normalization"], row["l2"])


def _setting(row: dict[str, Any]) -> str:
    return str(_of(row))
