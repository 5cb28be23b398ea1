"""The most unusual videos, split at the threshold, and how well held-out classes stood out."""

from collections.abc import Mapping, Sequence
from typing import Any

from actionrec import schema
from actionrec.report.findings import IMPORTED, Findings
from actionrec.show import strips
from actionrec.show.gallery import Gallery
from actionrec.show.page import Block
from actionrec.show.parts import Scale, Table
from actionrec.show.tables import Grid, Measured, measured, number
from actionrec.show.words import counted
from actionrec.storage import provenance

ABOVE, BELOW = 18, 6  # how many are shown on each side of the threshold
LISTED = 24
Row = Mapping[str, Any]  # of schema.ANOMALY


def anomaly(findings: Findings) -> list[Block]:
    """All scores on one scale, then those above the threshold and the next below it."""
    if (table := findings.table("anomaly", schema.ANOMALY)) is None:
        return []
    rows = [row for row in table.to_pylist() if row["score"] is not None]
    if not rows:
        return [Block(text=["No video has a score."])]
    mark = provenance.mark(findings.root)
    above, below = _split(rows)
    text = (
        "How badly an autoencoder of the normal videos rebuilds each video's embedding; the threshold is the "
        f"{findings.root.config.anomaly.quantile:g} quantile of the normal validation videos."
    )
    blocks = [Block(text=[text], parts=[_scale(rows)], note="Long lines are test videos."), *_held_out(findings, mark)]
    sides = ((f"Above the threshold: {len(above):,}", above, ABOVE), ("The nearest below it", below, BELOW))
    shown = [_side(findings, heading, side[:most], mark) for heading, side, most in sides if side]
    blocks[1:1] = [*shown, *_absent(findings, [*above[:ABOVE], *below[:BELOW]]), _listed(rows, mark)]
    return blocks


def _split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Above the threshold and not; both with the highest scores first."""
    return [row for row in rows if row["anomalous"]], [row for row in rows if not row["anomalous"]]


def _scale(rows: Sequence[Row]) -> Scale:
    threshold = float(rows[0]["threshold"])
    end = 1.02 * max(threshold, *(row["score"] for row in rows))
    return Scale(
        strips.scale([(row["score"], row["split"] or "") for row in rows], threshold, end),
        f"The scores of {counted(len(rows), 'video')} on a scale from 0, and the threshold",
        ("0", f"highest {number(rows[0]['score'])}"),
        round(100 * threshold / end, 2) if end else 0.0,
        f"threshold {number(threshold)}",
    )


def _side(findings: Findings, heading: str, rows: Sequence[Row], mark: str) -> Block:
    said = {
        row["video_id"]: [
            *([("is", row["label"])] if row["label"] is not None else []),
            ("split", row["split"] or "none"),
            ("score", measured(row["score"], mark) or Measured("")),
        ]
        for row in rows
    }
    return Block(heading, parts=[Gallery(findings.pictures(said))])


def _absent(findings: Findings, rows: Sequence[Row]) -> list[Block]:
    why = findings.absences([row["video_id"] for row in rows]) if findings.has_videos else [IMPORTED]
    return [Block(text=why)] if why else []


def _listed(rows: Sequence[Row], mark: str) -> Block:
    columns = ["video_id", "label", "split", "score", "threshold", "anomalous"]
    figures = ("score", "threshold")
    cells = [[measured(row[name], mark) if name in figures else row[name] for name in columns] for row in rows]
    return Block("As a table", parts=[Table(Grid(columns, cells), "The most unusual videos", LISTED)], folded=True)


def _held_out(findings: Findings, mark: str) -> list[Block]:
    if (held := findings.table("anomaly_holdout", schema.ANOMALY_HOLDOUT)) is None:
        return []
    names = [name for name in held.column_names if name != "seeds"]
    counts = ("class", "networks_saw_class", *(name for name in names if name.startswith("n_")))
    cells = [[row[name] if name in counts else measured(row[name], mark) for name in names] for row in held.to_pylist()]
    return [Block("Classes that were held out", parts=[Table(Grid(names, cells), "Classes that were held out")])]
