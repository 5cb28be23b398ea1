"""The search over the SVM as a root holds it: its attempts, tables/svm, and the setting that fusion goes by."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.errors import InputError
from actionrec.learning import fusion, metrics, search
from actionrec.learning.search import Setting
from actionrec.show.evaluation import render
from actionrec.show.words import counted
from actionrec.storage import layout, provenance
from actionrec.storage.embeddings import split_embeddings
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
            "tried": f"{counted(len(rows), 'setting')} on {counted(chosen['n_val'], 'validation video')}",
            "chosen": f"{_setting(chosen)}: validation top-1 {chosen['val_top1']:.1%}",
            "the paper's lambda": f"{_setting(paper)}: validation top-1 {paper['val_top1']:.1%}",
        }


def all_paths(root: Root) -> list[list[Setting]]:
    """What is tried on this root, those that differ in their L2 weight alone side by side."""
    return [
        path
        for streams in fusion.subsets(root.config.streams)
        for path in search.paths(streams, root.config.fusion, root.config.tune.l2)
    ]


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
    n_val = len(split_embeddings(root, root.config.seeds[0])["val"].target)
    rows = [row for path in all_paths(root) for row in _rows(root, path, fingerprint, n_val)]
    chosen = search.best({_of(row): row["val_top1"] for row in rows})
    for row in rows:
        row["chosen"] = _of(row) == chosen
    table = pa.Table.from_pylist(rows, schema=schema.SVM)
    made_by = (
        f"Data: {provenance.dataset(root)}. Weights: {provenance.weights(root)}. "
        f"Seeds: {', '.join(map(str, root.config.seeds))}. Search: {fingerprint}."
    )
    text = render("svm", table, made_by, provenance.reading(root))
    put_changed(root.output, layout.table("svm", "md"), text.encode())
    put_changed(root.output, layout.table("svm"), schema.to_parquet(table, fingerprint))
    return Svm(table)


def chosen_setting(root: Root) -> Setting | None:
    """The setting that the search chose; None where there was no search. InputError where it has not ended."""
    return next((_of(row) for row in _searched(root) if row["chosen"]), None)


def best_settings(root: Root) -> dict[tuple[str, ...], Setting]:
    """Streams -> the setting of theirs that was best; empty where there was no search. InputError as above."""
    top1: dict[tuple[str, ...], dict[Setting, float]] = {}
    for row in _searched(root):
        top1.setdefault(tuple(row["streams"]), {})[_of(row)] = row["val_top1"]
    return {streams: search.best(values) for streams, values in top1.items()}


def _searched(root: Root) -> list[dict[str, Any]]:
    """The rows of tables/svm; none where there was no search."""
    if not root.begun("svm"):
        return []
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
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _rows(root: Root, path: Sequence[Setting], fingerprint: str, n_val: int) -> list[dict[str, Any]]:
    """The rows of settings that differ in their L2 weight alone; each seed's trial is read once."""
    of_seeds = []
    for seed in root.config.seeds:
        key = layout.svm_trial(path[0].streams, path[0].normalization, seed)
        of_seeds.append(read_attempts(root.output, key, seeded(fingerprint, seed)) or {})
    rows = []
    for setting in path:
        attempts = [found[setting.l2] for found in of_seeds]
        mean, deviation = metrics.mean_sd([each.val_top1 for each in attempts])
        figures = {"val_top1": mean, "val_top1_sd": deviation, "converged": all(each.converged for each in attempts)}
        rows.append({**asdict(setting), "seeds": list(root.config.seeds), "n_val": n_val} | figures)
    return rows


def _of(row: dict[str, Any]) -> Setting:
    return Setting(tuple(row["streams"]), row["normalization"], row["l2"])


def _setting(row: dict[str, Any]) -> str:
    return str(_of(row))
