"""Table II from what has been judged: a row a system and way to judge, in the paper's order.

A system's own figure is that of the way which is best on validation; the test split has no say in anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.fusion.fuse import load_fused
from actionrec.fusion.tables import figures, hits, validation
from actionrec.learning import metrics
from actionrec.learning.metrics import Scores
from actionrec.show.evaluation import NOT_RUN, OUT_OF_DATE, PROPOSED, REFITTED, figure, render, verdict
from actionrec.storage import layout, models, provenance
from actionrec.storage.embeddings import split_embeddings
from actionrec.storage.root import Root, record
from actionrec.storage.stages import BASELINES
from actionrec.storage.store import put_changed
from actionrec.table2.baselines import HELD_OUT, SplitVideos, has_judged, read_judgements, split_videos
from actionrec.table2.runnable import SYSTEMS
from actionrec.table2.systems import Published, published


@dataclass(frozen=True)
class Table2:
    """tables/table2."""

    table: pa.Table
    caution: str  # why nothing can be read into the figures; empty where something can

    def facts(self) -> dict[str, object]:
        """What a person is told: each system's own figure, and how it compares with the proposed model."""
        found: dict[str, object] = {}
        for row in (row for row in self.table.to_pylist() if row["chosen"]):
            said = f"test top-1 {figure(row, 'top1')}"
            if row["difference"] is not None:
                said += f"; {verdict(row['difference_low'], row['difference_high'], bool(self.caution))}"
            found[f"{row['system']}, {row['method']}"] = said
        return found


@dataclass(frozen=True)
class _Way:
    """A way to judge, of all seeds."""

    val: Sequence[Scores | None]  # None where validation videos were learnt from
    test: Sequence[Scores]
    streams: Sequence[str]  # that it was given
    alone: bool = False  # whether it is one of a system's networks by itself
    settings: str = ""  # that were chosen on validation, by the first seed


def is_evaluated(root: Root) -> bool:
    """Whether the proposed model has been judged, and every seed of it is there."""
    if not (root.begun("evaluate") and root.output.exists(layout.table("ablation"))):
        return False
    fused = record(root, "fusion")["fingerprint"]
    folders = {seed: layout.model(layout.FUSION, root.further(seed)) for seed in root.config.seeds}
    return all(models.finished(root.output, each, models.seeded(fused, seed)) for seed, each in folders.items())


def write_table2(root: Root) -> Table2:
    """Make tables/table2 of the proposed model, which has been evaluated, and of the baselines that have been judged.

    A table that says the same stays as it is. InputError where the model or a judgement is missing or not its own.
    """
    ways = {PROPOSED: _proposed(root)} | {name: _baseline(root, name) for name in BASELINES}
    videos = {split: split_videos(root, split) for split in HELD_OUT}
    (proposed,) = ways[PROPOSED].values()
    rows = [row for each in published() for row in _rows(root, each, ways.get(each.name, {}), videos, proposed)]
    table = pa.Table.from_pylist(rows, schema=schema.TABLE2)
    reading = provenance.reading(root)
    text = render("table2", table, provenance.paragraph(root), reading)
    put_changed(root.output, layout.table("table2", "md"), text.encode())
    put_changed(root.output, layout.table("table2"), schema.to_parquet(table, record(root, "evaluate")["fingerprint"]))
    return Table2(table, reading.caution)


def _proposed(root: Root) -> dict[str, _Way]:
    fused = {seed: load_fused(root, seed) for seed in root.config.seeds}
    scores: dict[str, list[Scores]] = {split: [] for split in HELD_OUT}
    for seed, model in fused.items():
        sides = split_embeddings(root, seed)
        for split in HELD_OUT:
            scores[split].append(model.decisions(sides[split].embeddings.of(model.streams)))
    first = fused[root.config.seeds[0]]
    method = REFITTED if first.refitted else "svm"
    return {method: _Way([None] * len(fused) if first.refitted else scores["val"], scores["test"], first.streams)}


def _baseline(root: Root, name: str) -> dict[str, _Way]:
    """Nothing where a seed has not judged the videos that are there now."""
    of_seeds = [read_judgements(root, name, seed) for seed in root.config.seeds]
    if any(each is None for each in of_seeds):
        return {}
    judged = [each for each in of_seeds if each is not None]
    return {
        method: _Way(
            [each[method].scores["val"] for each in judged],
            [each[method].scores["test"] for each in judged],
            SYSTEMS[name].streams(root.config),
            first.alone,
            ", ".join(f"{key} {value:g}" for key, value in first.settings.items()),
        )
        for method, first in judged[0].items()
    }


def _rows(
    root: Root, of: Published, ways: Mapping[str, _Way], videos: Mapping[str, SplitVideos], proposed: _Way
) -> list[dict[str, Any]]:
    paper: dict[str, Any] = {"system": of.system, "name": of.name, "type": of.type, "paper_streams": of.streams}
    paper |= {"pretraining": of.pretraining, "paper_top1": of.paper_top1, "checked": of.checked or None}
    if not ways:
        return [paper | {"status": OUT_OF_DATE if of.name in BASELINES and has_judged(root, of.name) else NOT_RUN}]
    found = [
        paper
        | {"method": method, "alone": way.alone, "streams": list(way.streams), "settings": way.settings or None}
        | {"seeds": list(root.config.seeds)}
        | validation(way.val, videos["val"].target)
        | figures(root, way.test, videos["test"].target, videos["test"].groups)
        | ({} if way is proposed else _difference(root, way, proposed, videos["test"]))
        for method, way in ways.items()
    ]
    best = max((row for row in found if not row["alone"]), key=lambda row: row["val_top1"] or 0.0)
    return [row | {"chosen": row is best} for row in found]


def _difference(root: Root, way: _Way, proposed: _Way, test: SplitVideos) -> dict[str, Any]:
    """Of test top-1 from the proposed model, with its paired 95 % interval over test groups."""
    difference_N = hits(way.test, test.target, 1) - hits(proposed.test, test.target, 1)
    interval = metrics.interval(difference_N, test.groups, root.config.fusion.bootstrap, root.config.seed)
    low, high = interval or (None, None)
    return {"difference": float(difference_N.mean()), "difference_low": low, "difference_high": high}
