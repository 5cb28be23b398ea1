"""The first screen: what came of it in three figures, one sentence and one picture, or what to run next."""

from collections.abc import Mapping
from typing import Any

from actionrec.report.findings import Findings
from actionrec.report.plane import plane
from actionrec.report.unusual import by_split, flagged, scored
from actionrec.show.evaluation import verdict
from actionrec.show.page import Block
from actionrec.show.parts import Command, Tile, Tiles
from actionrec.show.tables import Measured, percent, share
from actionrec.show.words import counted
from actionrec.storage.root import Root
from actionrec.storage.stages import STAGES, following
from actionrec.storage.streams import random_networks


def result(findings: Findings) -> list[Block]:
    """Three tiles, the conclusion and the map."""
    drawn = plane(findings)
    if findings.model is None:
        return [*_next(findings.root), *drawn]
    tiles = Tiles([_top1(findings, findings.model), _chance(findings, findings.model), _unusual(findings)])
    said = [conclusion(findings.model, findings.reading.caution)]
    if random := random_networks(findings.root.config, findings.reading.streams):
        said.append(
            f"The weights are random, as configured ({', '.join(random)}): the figures show that everything works, not "
            "how well."
        )
    return [Block(parts=[tiles]), Block(text=[" ".join(said)]), *drawn]


def conclusion(row: Mapping[str, Any], caution: str) -> str:
    """What the interval of the model's row of tables/ablation says against chance, as a sentence."""
    if caution:
        return caution
    low, high, chance = row["top1_low"], row["top1_high"], percent(row["majority"])
    against = f"the {chance} that naming the largest class every time comes to"
    if low is None or high is None:
        return "Whether the model is better than chance cannot be told: the test videos are of one group."
    figures = f"{100 * low:.1f} to {100 * high:.1f} %"
    said = verdict(low - row["majority"], high - row["majority"], too_few=False)
    if said == "cannot be told":
        return (
            f"Whether the model is better than chance cannot be told: the 95 % interval of its test top-1, {figures}, "
            f"holds {against}."
        )
    side = "above" if said == "better" else "below"
    whose = f"the 95 % interval of its test top-1, {figures}," if low != high else "every group of its test videos"
    return f"The model is {said} than chance: {whose} lies {side} {against}."


def _top1(findings: Findings, row: Mapping[str, Any]) -> Tile:
    low, high = row["top1_low"], row["top1_high"]
    interval = (
        f"95 % interval {100 * low:.1f} to {100 * high:.1f} %" if low != high else "no interval: all groups agree"
    )
    seeds = f", mean of {len(row['seeds'])} seeds ± {percent(row['top1_sd'])}" if row["top1_sd"] is not None else ""
    note = f"{interval}, {counted(row['n_test'], 'test video')}{seeds}. {findings.reading.model}"
    return Tile("Top-1 on the test split", _known(share(row["top1"], findings.reading.own_mark)), note)


def _chance(findings: Findings, row: Mapping[str, Any]) -> Tile:
    classes = counted(len(findings.labels), "class", "classes")
    return Tile("Chance", _known(share(row["majority"])), f"the largest of {classes}, named every time")


def _unusual(findings: Findings) -> Tile:
    label = "Unusual videos"
    if (table := scored(findings)) is None:
        return Tile(label, Measured("–"), f"not run yet: actionrec anomaly --root {findings.root.store.url}")
    mark = findings.reading.mark(findings.root.config.streams)
    return Tile(label, Measured(f"{flagged(table):,}", mark), f"score above the threshold: {by_split(table)}")


def _known(figure: Measured | None) -> Measured:
    return figure or Measured("–")


def _next(root: Root) -> list[Block]:
    """What to run where nothing has been judged yet."""
    before = [name for name in STAGES if "evaluate" in following([name], [root.config])]
    waiting = [name for name in before if STAGES[name].made(root.config) and not root.begun(name)]
    said = STAGES[waiting[0]].wanting if waiting else "the evaluation was begun and is not finished"
    text = [f"Nothing has been judged yet: {said}.", "This command does every step that is missing:"]
    return [Block(text=text, parts=[Command(f"actionrec run --root {root.store.url}")])]
