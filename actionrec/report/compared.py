"""The tables that compare: systems, streams, recurrent networks, settings of the SVM."""

from collections.abc import Sequence
from typing import Any

from actionrec import schema
from actionrec.report.findings import Findings
from actionrec.show import strips
from actionrec.show.evaluation import PROPOSED, verdict
from actionrec.show.page import Block
from actionrec.show.parts import Strip, Strips
from actionrec.show.tables import Measured, share
from actionrec.storage import provenance

BEST_SVMS = 12  # settings that are shown


def table2(findings: Findings) -> list[Block]:
    """The systems of the paper's Table II; the proposed one is the model."""
    if (table := findings.table("table2", schema.TABLE2)) is None:
        return []
    rows = [
        Strip(
            row["system"],
            strips.interval(row["top1"], row["top1_low"], row["top1_high"], row["paper_top1"]),
            share(row["top1"], findings.reading.mark(row["streams"])) if row["chosen"] else Measured("not run"),
            row["name"] == PROPOSED,
        )
        for row in table.to_pylist()
        if row["chosen"] is not False
    ]
    alt = "Test top-1 of each system and its 95 % interval, and the paper's figure"
    text = "Dots are test top-1 here, bands 95 % intervals over test groups, short lines the paper's figures on UCF101."
    chart = Block(text=[text], parts=[Strips(rows, alt, ("0 %", "test top-1, 100 %"))])
    return [_whose(findings), chart, *findings.shown("table2", table)]


def ablation(findings: Findings) -> list[Block]:
    """Every subset of streams by every classifier, as a chart and as a table."""
    if (table := findings.table("ablation", schema.ABLATION)) is None:
        return []
    rows = [
        Strip(
            f"{' + '.join(row['streams'])}, {row['method']}",
            strips.interval(row["top1"], row["top1_low"], row["top1_high"]),
            share(row["top1"], findings.reading.mark(row["streams"])),
            findings.reading.is_model(row),
        )
        for row in table.to_pylist()
    ]
    chart = Strips(rows, "Test top-1 and its 95 % interval for each subset of streams", ("0 %", "test top-1, 100 %"))
    return [_whose(findings), Block(parts=[chart]), *findings.shown("ablation", table)]


def svm(findings: Findings) -> list[Block]:
    """The best settings that were tried."""
    if (table := findings.table("svm", schema.SVM)) is None:
        return []
    return findings.shown("svm", table, BEST_SVMS)


def table1(findings: Findings) -> list[Block]:
    """The sweep over the paper's recurrent networks."""
    if (table := findings.table("table1", schema.TABLE1)) is None:
        return []
    reading = provenance.reading(findings.root, [findings.root.config.tune.stream])
    rows = table.to_pylist()
    known = [
        Strip(
            row["model"],
            strips.interval(row["top1"], row["top1_low"], row["top1_high"], row["paper_top1"]),
            share(row["top1"], reading.own_mark),
            bool(row["best_on_validation"]),
        )
        for row in rows
        if row["top1"] is not None
    ]
    text = [f"Networks of the stream {findings.root.config.tune.stream} alone; the rest of the page is of the model."]
    text += _verdict(rows, bool(reading.caution), reading.own_mark)
    alt = "Test top-1 and its 95 % interval for each recurrent network"
    chart = [Block(text=text, parts=[Strips(known, alt, ("0 %", "test top-1, 100 %"))])] if known else []
    return [*chart, *findings.shown("table1", table, reading=reading)]


def _whose(findings: Findings) -> Block:
    if findings.model is None:
        return Block()
    return Block(text=[f"The row that stands out is the model, {findings.reading.model}."])


_WORDS = {
    "better": "So averaging over time is better.",
    "worse": "So averaging over time is worse.",
    "cannot be told": "Which of them is better cannot be told from these test videos.",
}


def _verdict(rows: Sequence[dict[str, Any]], too_few: bool, mark: str) -> list[str]:
    """How the chosen recurrent network and averaging over time compare, as far as the interval tells."""
    baseline = rows[-1]
    chosen = next((row for row in rows[:-1] if row["best_on_validation"]), None)
    if chosen is None or baseline["top1"] is None:
        return []
    said = verdict(baseline["difference_low"], baseline["difference_high"], too_few)
    return [
        f"{chosen['model']}, the best on validation, has a test top-1 of {share(chosen['top1'], mark)}, "
        f"{baseline['model']} one of {share(baseline['top1'], mark)}. {_WORDS[said]}",
        "Dots are test top-1, bands 95 % intervals over test groups, short lines the paper's figures for the 101 "
        "classes of UCF101.",
    ]
