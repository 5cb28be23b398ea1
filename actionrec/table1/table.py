"""Table I from the outcomes of the sweep: every row of the paper, what it came to here, and how sure that is.

Validation marks the best row; the test split has no say in anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actionrec import schema
from actionrec.catalog.evidence import caution
from actionrec.learning import metrics
from actionrec.show import plots
from actionrec.show.evaluation import NOT_RUN, figure, render, verdict
from actionrec.storage import layout, provenance
from actionrec.storage.models import seeded
from actionrec.storage.root import Root
from actionrec.storage.samples import samples
from actionrec.storage.store import put_changed
from actionrec.table1.architectures import TABLE1, Architecture
from actionrec.table1.outcomes import BASELINE, Outcome, read_outcome

TOP = 5

Ranks = NDArray[np.int64]  # [N] of each video, how many classes come before its own


@dataclass(frozen=True)
class Table1:
    """tables/table1 and what it came to."""

    table: pa.Table
    failed: Mapping[str, str]  # trial -> why
    caution: str  # why nothing can be read into the figures; empty where something can

    def facts(self) -> dict[str, object]:
        """What a person is told: the row that validation marks, the baseline, and what is not there."""
        rows = self.table.to_pylist()
        done = [row for row in rows[:-1] if row["seeds"]]
        found: dict[str, object] = {"rows": f"{len(done)} of {len(rows) - 1} of Table I finished"}
        for row in (row for row in rows if row["best_on_validation"] or row["model"] == BASELINE):
            found[row["model"]] = f"test top-1 {figure(row, 'top1')}"
        if any(row["best_on_validation"] for row in rows):
            said = verdict(rows[-1]["difference_low"], rows[-1]["difference_high"], bool(self.caution))
            found["averaging over time"] = f"{said}{' than the best row' if said in ('better', 'worse') else ''}"
        return found | ({"caution": self.caution} if self.caution else {})


@dataclass(frozen=True)
class _Side:
    """The labelled videos of a split, and which of them have the stream."""

    groups: Sequence[str]  # [N]
    places: NDArray[np.int64]  # [n <= N] of those that have it, in the order of their ranks

    def all(self, ranks: Ranks, classes: int) -> Ranks:
        """[N]; a video that lacks the stream comes after every class, as it does in `evaluate`: it counts as wrong."""
        found = np.full(len(self.groups), classes, np.int64)
        found[self.places] = ranks
        return found


@dataclass(frozen=True)
class _Judge:
    """What figures are made from: the videos of the splits, the number of classes, and how often to resample."""

    sides: Mapping[str, _Side]
    classes: int
    resamples: int
    seed: int

    def val(self, outcome: Outcome) -> Ranks:
        return self.sides["val"].all(np.array(outcome.val_rank, np.int64), self.classes)

    def test(self, outcome: Outcome) -> Ranks:
        return self.sides["test"].all(np.array(outcome.test_rank, np.int64), self.classes)

    def counts(self) -> dict[str, int]:
        test = self.sides["test"]
        return {"n_test": len(test.groups), "n_judged": len(test.places)}

    def figures(self, val: Sequence[Ranks], test: Sequence[Ranks]) -> dict[str, Any]:
        """Validation and test accuracies of some seeds."""
        found = _mean_sd("val_top1", [_share(ranks, 1) for ranks in val])
        for name, k in (("top1", 1), ("top5", TOP)):
            if metrics.says_something(k, self.classes):
                found |= _mean_sd(name, [_share(ranks, k) for ranks in test])
                found |= self.interval(name, _hits(test, k))
        return found

    def interval(self, name: str, values_N: NDArray[np.float64]) -> dict[str, Any]:
        low, high = metrics.interval(values_N, self.sides["test"].groups, self.resamples, self.seed) or (None, None)
        return {f"{name}_low": low, f"{name}_high": high}


def write_table1(root: Root, fingerprint: str, baseline: Outcome) -> Table1:
    """Make tables/table1 from what the trials of the root's seeds have come to; a table that says the same stays."""
    ended = {
        row.name: [
            found
            for seed in root.config.seeds
            if (found := read_outcome(root.output, row.name, seed, seeded(fingerprint, seed))) is not None
        ]
        for row in TABLE1
    }
    judge = _judge(root)
    rows = [_row(root, judge, row, ended[row.name]) for row in TABLE1]
    rows.append(
        {"model": BASELINE, "status": "baseline", "best_on_validation": False, "seeds": []}
        | judge.counts()
        | judge.figures([judge.val(baseline)], [judge.test(baseline)])
    )
    table = pa.Table.from_pylist(_compared(rows, judge, ended, judge.test(baseline)), schema=schema.TABLE1)
    _write(root, table, fingerprint)
    failed = {
        f"{each.name}, seed {each.seed}": each.reason
        for outcomes in ended.values()
        for each in outcomes
        if each.status == "failed"
    }
    return Table1(table, failed, caution(root.catalog()))


def _judge(root: Root) -> _Judge:
    found, catalog = samples(root, root.config.tune.stream), root.catalog()
    columns = [catalog[name].to_pylist() for name in ("video_id", "label", "split", "group")]
    labels, sides = set(found.labels), {}
    for split in ("val", "test"):
        rows = [(i, group) for i, label, side, group in zip(*columns, strict=True) if side == split and label in labels]
        place = {video_id: number for number, (video_id, _) in enumerate(rows)}
        with_stream = [place[video.video_id] for video in found.of(split)]
        sides[split] = _Side([group for _, group in rows], np.array(with_stream, np.int64))
    return _Judge(sides, len(found.labels), root.config.fusion.bootstrap, root.config.seed)


def _row(root: Root, judge: _Judge, architecture: Architecture, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    done = [each for each in outcomes if each.status == "done"]
    row: dict[str, Any] = {
        "model": architecture.name,
        "units": architecture.units,
        "status": _status(root, outcomes),
        "paper_top1": architecture.paper_top1,
        "paper_top5": architecture.paper_top5,
        "best_on_validation": False,
    }
    if not done:
        return row | {"seeds": []}
    return (
        row
        | {"seeds": [each.seed for each in done], "parameters": done[0].parameters}
        | judge.counts()
        | {"epochs": float(np.mean([len(each.history) for each in done]))}
        | {"seconds_per_epoch": float(np.mean([epoch["seconds"] for each in done for epoch in each.history]))}
        | judge.figures([judge.val(each) for each in done], [judge.test(each) for each in done])
    )


def _status(root: Root, outcomes: Sequence[Outcome]) -> str:
    """One word where all seeds are alike; else what came of each."""
    by_seed = {each.seed: f"{each.status}: {each.reason}" if each.reason else each.status for each in outcomes}
    said = {seed: by_seed.get(seed, NOT_RUN) for seed in root.config.seeds}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"seed {seed} {what}" for seed, what in said.items())


def _compared(
    rows: list[dict[str, Any]], judge: _Judge, ended: Mapping[str, Sequence[Outcome]], baseline_test: Ranks
) -> list[dict[str, Any]]:
    """The rows with the best on validation marked, and every other comparable one's difference from it."""
    comparable = {name for name, outcomes in ended.items() if _is_comparable(outcomes)}
    candidates = [row for row in rows if row["model"] in comparable]
    if not candidates:
        return rows
    best = max(candidates, key=lambda row: row["val_top1"])
    hits = {
        name: _hits([judge.test(each) for each in outcomes if each.status == "done"], 1)
        for name, outcomes in ended.items()
        if name in comparable
    } | {BASELINE: _hits([baseline_test], 1)}
    for row in rows:
        if row is best:
            row["best_on_validation"] = True
        elif row["model"] in hits:
            gain_N = hits[row["model"]] - hits[best["model"]]
            row |= {"difference": float(gain_N.mean())} | judge.interval("difference", gain_N)
    return rows


def _is_comparable(outcomes: Sequence[Outcome]) -> bool:
    """Whether every seed that was begun has finished: seeds that a scheduler spares were chosen by how they did."""
    return bool(outcomes) and all(each.status == "done" for each in outcomes)


def _hits(ranks: Sequence[Ranks], k: int) -> NDArray[np.float64]:
    """[N] the share of seeds whose network has the class among its k best."""
    found: NDArray[np.float64] = np.mean([each < k for each in ranks], axis=0)
    return found


def _share(ranks: Ranks, k: int) -> float:
    return float((ranks < k).mean())


def _mean_sd(name: str, values: Sequence[float]) -> dict[str, float | None]:
    mean, deviation = metrics.mean_sd(values)
    return {name: mean, f"{name}_sd": deviation}


def _write(root: Root, table: pa.Table, fingerprint: str) -> None:
    stream = root.config.tune.stream
    made_by = (
        f"Data: {provenance.dataset(root)}. Stream: {stream}; weights: {provenance.weights(root, [stream])}. "
        f"Seeds: {', '.join(map(str, root.config.seeds))}. Sweep: {fingerprint}."
    )
    files = {
        layout.table("table1", "md"): render("table1", table, made_by, provenance.reading(root, [stream])).encode(),
        layout.table("table1", "svg"): plots.table1(table.to_pylist()).encode(),
        layout.table("table1"): schema.to_parquet(table, fingerprint),
    }
    for key, data in files.items():
        put_changed(root.output, key, data)
