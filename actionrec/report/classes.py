"""What the model takes for what: wrong test videos, the confusion matrix, and a card a class."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from actionrec import schema
from actionrec.report.findings import Findings
from actionrec.show import confusion as drawn
from actionrec.show.gallery import Gallery
from actionrec.show.page import Block
from actionrec.show.parts import Card, Cards, Drawing, Part, Table
from actionrec.show.tables import Grid, Measured, share
from actionrec.show.words import counted

WRONG, PAIRS = 24, 12  # how many are shown
PORTRAITS = 3  # videos that show what a class looks like
PICTURED_CLASSES = 120  # with pictures of 3 kB each, some 1.5 MB of the page
UNFOLDED_CARDS = 24


def mistakes(findings: Findings) -> list[Block]:
    """The test videos that the model got wrong, the surest first."""
    table = findings.table("predictions", schema.PREDICTIONS)
    if table is None or findings.model is None:
        return []
    labels = set(findings.labels)
    test = [row for row in table.to_pylist() if row["split"] == "test" and row["label"] in labels]
    wrong = [row for row in test if row["classes"] and row["classes"][0] != row["label"]]
    wrong.sort(key=lambda row: (-row["scores"][0], row["video_id"]))
    unjudged = sum(row["classes"] is None for row in test)
    order = " The surest mistakes, by the margin that `predict` names too, come first." if wrong else ""
    text = [f"{len(wrong):,} of {counted(len(test), 'test video')}. {findings.caption}{order}"]
    if unjudged:
        text.append(f"{counted(unjudged, 'test video')} more had nothing to be judged by, and count as wrong.")
    shown = {row["video_id"]: _said(row, findings.reading.own_mark) for row in wrong[:WRONG]}
    more = len(wrong) - len(shown)
    left_out = f"and {more:,} more; tables/predictions.parquet has all of them" if more else ""
    gallery: list[Part] = [Gallery(findings.pictures(shown), left_out)] if shown else []
    return [Block(text=text, parts=gallery), *findings.absences(shown)]


def _said(row: Mapping[str, Any], mark: str) -> list[tuple[str, str | Measured]]:
    return [("is", row["label"]), ("said", row["classes"][0]), ("margin", Measured(f"{row['scores'][0]:+.3f}", mark))]


def confusion(findings: Findings) -> list[Block]:
    """The matrix, and the pairs of classes that are mistaken for each other most often."""
    table, classes = findings.table("confusion", schema.CONFUSION), findings.table("classes", schema.CLASSES)
    if table is None or classes is None:
        return []
    rows, videos = table.to_pylist(), {row["label"]: row["n_test"] for row in classes.to_pylist()}
    labels = [label for label in findings.labels if label in videos]
    counts = {(row["label"], row["predicted"]): row["videos"] for row in rows}
    matrix = drawn.matrix(
        labels, [[counts.get((true, said), 0) for said in labels] for true in labels], [videos[each] for each in labels]
    )
    pairs, order = (
        _pairs(rows, videos),
        "Rows are the true class, columns what was said; both have the worst class first.",
    )
    if len(labels) <= drawn.NAMED_CLASSES:
        return [Block(text=[f"{findings.caption} {order}"], parts=[matrix]), pairs]
    hover = "With a mouse, point at a square for its names and numbers; the darker, the larger the share of its row."
    if (fewest := drawn.fewest_shown(matrix)) > 1:
        hover += f" Squares of fewer than {fewest} videos beside the diagonal are left out."
    picture = Drawing(drawn.picture(matrix), "Confusion matrix", width="square")
    return [Block(text=[findings.caption]), pairs, Block("All pairs", [f"{order} {hover}"], [picture])]


def _pairs(rows: Sequence[Mapping[str, Any]], videos: Mapping[str, int]) -> Block:
    wrong = [row for row in rows if row["label"] != row["predicted"]]
    if not wrong:
        return Block(text=["No test video was taken for another class."])
    wrong.sort(key=lambda row: (-row["videos"], row["label"], row["predicted"]))
    cells = [[row["label"], row["predicted"], row["videos"], videos[row["label"]]] for row in wrong]
    columns = ["class", "taken for", "test videos", "of"]
    return Block("Most confused pairs", parts=[Table(Grid(columns, cells), "Most confused pairs", PAIRS)])


def classes(findings: Findings) -> list[Block]:
    """A card a class: three of its videos, and how well it is told."""
    if not findings.labels:
        return []
    table = findings.table("classes", schema.CLASSES)
    judged = {} if table is None else {row["label"]: row for row in table.to_pylist()}
    videos = _portraits(findings) if findings.has_videos else {}
    wanted = [video_id for ids in videos.values() for video_id in ids]
    pictures = {each.title: each for each in findings.pictures(dict.fromkeys(wanted, ()))}
    cards = [
        _card(label, [pictures[each] for each in videos.get(label, ())], judged.get(label), findings.reading.own_mark)
        for label in findings.labels
    ]
    said = f"{findings.caption} The worst class comes first." if judged else "Nothing has been judged yet."
    looks = " Each with three of its videos, of training where it has them." if videos else ""
    blocks = [Block(text=[said + looks], parts=[Cards(cards[:UNFOLDED_CARDS])])]
    if cards[UNFOLDED_CARDS:]:
        heading = f"The other {len(cards) - UNFOLDED_CARDS} classes"
        blocks.append(Block(heading, parts=[Cards(cards[UNFOLDED_CARDS:])], folded=True))
    if table is not None:
        parts = [part for block in findings.shown("classes", table)[:1] for part in block.parts]
        blocks.append(Block("As a table", parts=parts, folded=True))
    return [*blocks, *findings.absences(wanted)]


def _portraits(findings: Findings) -> dict[str, list[str]]:
    """Three videos of each class, of training and of different groups as far as there are any."""
    found: dict[str, list[tuple[bool, str, str]]] = {label: [] for label in findings.labels[:PICTURED_CLASSES]}
    columns = (findings.catalog[name].to_pylist() for name in ("video_id", "label", "group", "split"))
    for video_id, label, group, split in zip(*columns, strict=True):
        if label in found:
            found[label].append((split != "train", group, video_id))
    return {label: _of_different_groups(sorted(videos)) for label, videos in found.items()}


def _of_different_groups(videos: Sequence[tuple[bool, str, str]]) -> list[str]:
    firsts: dict[str, str] = {}
    for _, group, video_id in videos:
        firsts.setdefault(group, video_id)
    first = set(firsts.values())
    others = (video_id for _, _, video_id in videos if video_id not in first)
    return list(itertools.islice(itertools.chain(firsts.values(), others), PORTRAITS))


def _card(label: str, pictures: Sequence[Any], row: Mapping[str, Any] | None, mark: str) -> Card:
    if row is None:
        return Card(label, pictures, None, None, "")
    if row["top1"] is None:
        return Card(label, pictures, None, None, "no test video")
    right = round(row["top1"] * row["n_test"])
    mistaken = f"; most often taken for {row['mistaken_for']} ({row['mistaken']:,})" if row["mistaken_for"] else ""
    return Card(label, pictures, row["top1"], share(row["top1"], mark), f"{right:,} of {row['n_test']:,}{mistaken}")
