"""The most unusual videos, split at the threshold, and how well held-out classes stood out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import schema
from actionrec.report.findings import Findings
from actionrec.show import strips
from actionrec.show.evaluation import marked
from actionrec.show.gallery import Gallery
from actionrec.show.page import Block
from actionrec.show.parts import Scale, Table
from actionrec.show.tables import Grid, Measured, measured, number
from actionrec.show.words import counted
from actionrec.storage import provenance

ABOVE, BELOW = 18, 6  # how many are shown on each side of the threshold
LISTED = 24
LINES = 800  # of the scale
Row = Mapping[str, Any]  # of schema.ANOMALY


def anomaly(findings: Findings) -> list[Block]:
    """All scores on one scale, then those above the threshold and the next below it."""
    if (table := scored(findings)) is None:
        return []
    if not table.num_rows:
        return [Block(text=["No video has a score."])]
    mark, count = provenance.mark(findings.root), flagged(table)
    above, below = (side.to_pylist() for side in (table.slice(0, min(count, ABOVE)), table.slice(count, BELOW)))
    settings = findings.root.config.anomaly
    text = (
        "How badly an autoencoder of the normal videos rebuilds each video's embedding; the threshold is the "
        f"{settings.quantile:g} quantile of the normal validation videos. Normal: "
        f"{', '.join(settings.normal) or 'every class'}. Above it: {by_split(table)}; the autoencoder has seen the "
        "normal training videos, so their scores are too low."
    )
    sides = ((f"Above the threshold: {count:,}", above, count - len(above)), ("The nearest below it", below, 0))
    shown = [_side(findings, heading, side, more, mark) for heading, side, more in sides if side]
    listed = _listed(table.slice(0, LISTED).to_pylist(), max(0, table.num_rows - LISTED), mark)
    return [
        _on_a_scale(text, table),
        *shown,
        *findings.absences(row["video_id"] for row in (*above, *below)),
        listed,
        *_held_out(findings, mark),
    ]


def _on_a_scale(text: str, table: pa.Table) -> Block:
    """A line a video; of many videos, a line for every so many."""
    every = -(-table.num_rows // LINES)
    rows = table.take(list(range(0, table.num_rows, every))).select(["score", "split"]).to_pylist()
    threshold, highest = table["threshold"][0].as_py(), table["score"][0].as_py()
    end = 1.02 * max(threshold, highest)
    scale = Scale(
        strips.scale([(row["score"], row["split"] or "") for row in rows], threshold, end),
        f"The scores of {counted(table.num_rows, 'video')} on a scale from 0, and the threshold",
        ("0", f"highest {number(highest)}"),
        round(100 * threshold / end, 2) if end else 0.0,
        f"threshold {number(threshold)}",
    )
    some = f" There is one for every {counted(every, 'video')}." if every > 1 else ""
    return Block(text=[text], parts=[scale], note=f"A line is a video, a long one a test video.{some}")


def scored(findings: Findings) -> pa.Table | None:
    """The videos with a score [rows, schema.ANOMALY], the highest first, as they are stored; None: not run."""
    table = findings.table("anomaly", schema.ANOMALY)
    return None if table is None else table.filter(pc.is_valid(table["score"]))


def flagged(table: pa.Table) -> int:
    """Of how many videos the score lies above the threshold."""
    return int(pc.sum(table["anomalous"]).as_py() or 0)


def by_split(table: pa.Table) -> str:
    """Of how many videos of each split, the test split first, the score lies above the threshold."""
    counts = Counter(zip(table["split"].to_pylist(), table["anomalous"].to_pylist(), strict=True))
    said = []
    for split in ("test", "val", "train", None):
        if videos := counts[split, True] + counts[split, False]:
            said.append(f"{counts[split, True]:,} of {counted(videos, (split or 'other') + ' video')}")
    return ", ".join(said)


def _side(findings: Findings, heading: str, rows: Sequence[Row], more: int, mark: str) -> Block:
    said = {
        row["video_id"]: [
            *([("is", row["label"])] if row["label"] is not None else []),
            ("split", row["split"] or "none"),
            ("score", measured(row["score"], mark) or Measured("")),
        ]
        for row in rows
    }
    left_out = f"and {more:,} more; tables/anomaly.parquet has all of them" if more else ""
    return Block(heading, parts=[Gallery(findings.pictures(said), left_out)])


def _listed(rows: Sequence[Row], more: int, mark: str) -> Block:
    columns = ["video_id", "label", "split", "score", "threshold", "anomalous"]
    cells = marked(rows, columns, schema.ANOMALY, mark)
    note = f"and {more:,} more; tables/anomaly.parquet has all of them" if more else ""
    return Block("As a table", parts=[Table(Grid(columns, cells), "The most unusual videos")], note=note, folded=True)


def _held_out(findings: Findings, mark: str) -> list[Block]:
    if (held := findings.table("anomaly_holdout", schema.ANOMALY_HOLDOUT)) is None:
        return []
    names = [name for name in held.column_names if name != "seeds"]
    cells = marked(held.to_pylist(), names, schema.ANOMALY_HOLDOUT, mark)
    return [Block("Classes that were held out", parts=[Table(Grid(names, cells), "Classes that were held out")])]
