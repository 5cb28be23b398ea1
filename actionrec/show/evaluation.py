"""The tables of an evaluation as Markdown, each with what made it and how it is to be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actionrec.show.tables import Grid, escape, markdown, percent

INTERVAL = (
    "Intervals are 95 % bootstrap intervals over test groups, widened for few groups as Student's t is; there is none "
    "where all groups agree. A deviation (sd) is that of the seeds, and is empty where there is one."
)


NOT_RUN = "not run"  # the status of a row of Table I of which no seed was trained, and of a system of Table II
OUT_OF_DATE = "out of date"  # of a system that has judged other videos than there are now


@dataclass(frozen=True)
class Shown:
    """How a table is shown: its title, how it is to be read, and its cells."""

    title: str
    note: str
    grid: Grid


def shown(name: str, table: pa.Table, caution: str = "") -> Shown:
    """The table `name` as people see it. KeyError for one that is for programs only.

    `caution` says why nothing can be read into its figures, where that is so.
    """
    title, note, grid = _SHOWN[name]
    return Shown(title, f"{caution} {note}".lstrip(), grid(table.to_pylist(), bool(caution)))


def render(name: str, table: pa.Table, made_by: str, caution: str = "") -> str:
    """The Markdown of the table `name`; empty for a table that is for programs only."""
    if name not in _SHOWN:
        return ""
    found = shown(name, table, caution)
    return "\n\n".join([f"# {found.title}", escape(made_by), found.note, markdown(found.grid)]) + "\n"


def figure(row: Mapping[str, Any], name: str) -> str:
    """A mean with its deviation over seeds and its interval over groups, as far as there are any."""
    spread = f" ± {row[f'{name}_sd']:.1%} over {len(row['seeds'])} seeds" if row[f"{name}_sd"] is not None else ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = f" (95 % interval {low:.1%} to {high:.1%})" if low != high else ""
    return f"{row[name]:.1%}{spread}{interval}"


def verdict(low: float | None, high: float | None, too_few: bool) -> str:
    """What the 95 % interval of a difference says: better, worse, or that it cannot be told."""
    if too_few or low is None or high is None or low <= 0 <= high:
        return "cannot be told"
    return "better" if low > 0 else "worse"


_JUDGED = (
    "A labelled video without what a row needs counts as wrong, in validation as in test; judged is how many test "
    "videos had it. "
)
_ABLATION_NOTE = (
    "softmax: of one stream, its recurrent network's own head; of several, a softmax layer on their embeddings. "
    "svm: the linear SVM on them. average: the mean of the streams' softmax outputs. Every row has the normalisation, "
    "L2 weight and rule for missing streams that are its own best on validation. 'svm, refitted', with fusion.refit: "
    "the fused SVM fitted again on train and validation together; it has no validation figure, and had more to "
    "learn from than the other rows. The row marked best is the best on validation, the test split having no say. "
    + _JUDGED
    + INTERVAL
)
_TABLE1_NOTE = (
    "The row marked best is the best on validation, the test split having no say, of the rows of which no seed was "
    "stopped or failed: the seeds that others have left were chosen by how they did. Differences are of test top-1 "
    "from that row; a row is better or worse than it where the interval misses 0. Intervals are not adjusted for so "
    "many comparisons, so one in twenty would miss 0 by chance. "
    "The paper's own figures are for the 101 classes of UCF101, split 1. " + _JUDGED + INTERVAL
)
_SVM_NOTE = (
    "Fitted on the training videos, chosen on the validation videos, whose groups no network was fitted on; the test "
    "split has no part in it. lambda is the L2 weight of lambda |w|^2 + mean hinge loss, 0.01 in the paper. Of equals "
    "the one with the most streams is taken, then the lambda nearest to the paper's. A deviation (sd) is that of the "
    "seeds. Fusion uses the row marked chosen."
)
_TABLE2_NOTE = (
    "The paper's figures are for UCF101, split 1, with pretrained networks; checked is what the systems' own papers "
    "report. They are comparable with the figures here only where data and weights are the same. The row marked chosen "
    "is the way to judge that is best on validation, by which a system is compared; a way that is called like a stream "
    "is that stream's network alone. Differences are of test top-1 from the proposed model; a row is better or worse "
    "than it where the interval misses 0. What multi-stream learns on validation is judged there by folds of groups, "
    "too strictly where a class has few groups. Its weights are free, or pulled to a prior that its networks' errors "
    "make, or both that and sparse; with one group of validation videos only the mean is judged. "
    "A system that is out of date has judged other videos than there are now; run `actionrec baseline` again. "
    "'svm, refitted' was fitted on validation videos too, which no baseline was. " + _JUDGED + INTERVAL
)


def _ablation(rows: list[dict[str, Any]], too_few: bool) -> Grid:
    columns = ["streams", "classifier", "judged", "validation top-1", "test top-1", "sd", "95 %", "test top-5", "best"]
    return Grid(
        columns,
        [
            [
                " + ".join(row["streams"]),
                row["method"],
                row["n_judged"],
                percent(row["val_top1"]),
                percent(row["top1"]),
                percent(row["top1_sd"]),
                _interval(row, "top1"),
                percent(row["top5"]),
                "best" if row["best_on_validation"] else None,
            ]
            for row in rows
        ],
        f"The largest class is {rows[0]['majority']:.1%} of the {rows[0]['n_test']} test videos.",
    )


def _table1(rows: list[dict[str, Any]], too_few: bool) -> Grid:
    missing = [row["model"] for row in rows if row["status"] == NOT_RUN]
    rows = [row for row in rows if row["status"] != NOT_RUN]
    columns = ["model", "hidden units", "parameters", "seeds", "judged", "validation top-1", "test top-1", "sd", "95 %"]
    columns += ["test top-5", "sd", "paper top-1", "paper top-5", "difference", "95 %", "than the best"]
    columns += ["epochs", "s an epoch", ""]
    return Grid(
        columns,
        [
            [
                row["model"],
                row["units"],
                row["parameters"],
                len(row["seeds"]) or None,
                row["n_judged"],
                *(percent(row[name]) for name in ("val_top1", "top1", "top1_sd")),
                _interval(row, "top1"),
                *(percent(row[name]) for name in ("top5", "top5_sd")),
                *(percent(row[name], 2) for name in ("paper_top1", "paper_top5")),
                percent(row["difference"]),
                _interval(row, "difference"),
                None if row["difference"] is None else _verdict(row, too_few),
                row["epochs"],
                row["seconds_per_epoch"],
                "; ".join(
                    ["best on validation"] * row["best_on_validation"] + [row["status"]] * (row["status"] != "done")
                ),
            ]
            for row in rows
        ],
        f"Not run: {', '.join(missing)}." if missing else "",
    )


def _svm(rows: list[dict[str, Any]], too_few: bool) -> Grid:
    columns = ["streams", "normalization", "lambda", "validation top-1", "sd", ""]
    return Grid(
        columns,
        [
            [
                " + ".join(row["streams"]),
                row["normalization"],
                row["l2"],
                percent(row["val_top1"]),
                percent(row["val_top1_sd"]),
                "; ".join(["chosen"] * row["chosen"] + ["not converged"] * (not row["converged"])),
            ]
            for row in sorted(rows, key=lambda row: (not row["chosen"], -row["val_top1"]))
        ],
    )


def _table2(rows: list[dict[str, Any]], too_few: bool) -> Grid:
    left_out = {status: [row["system"] for row in rows if row["status"] == status] for status in (NOT_RUN, OUT_OF_DATE)}
    columns = ["system", "type", "paper's streams", "pre-training", "paper top-1", "checked", "way", "streams here"]
    columns += ["settings", "seeds"]
    columns += ["judged", "validation top-1", "test top-1", "sd", "95 %", "difference", "95 %", "than the proposed", ""]
    return Grid(
        columns,
        [
            [
                *_once(row, rows, place),
                row["method"],
                " + ".join(row["streams"] or ()) or None,
                row["settings"],
                len(row["seeds"] or ()) or None,
                row["n_judged"],
                *(percent(row[name]) for name in ("val_top1", "top1", "top1_sd")),
                _interval(row, "top1") if row["method"] else None,
                percent(row["difference"]),
                None if row["difference"] is None else _interval(row, "difference"),
                None if row["difference"] is None else _verdict(row, too_few),
                "chosen" if row["chosen"] else None,
            ]
            for place, row in enumerate(rows)
        ],
        " ".join(f"{status.capitalize()}: {', '.join(names)}." for status, names in left_out.items() if names),
    )


def _once(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], place: int) -> list[Any]:
    """What the paper prints of a system, in the first of its rows alone."""
    names = ("system", "type", "paper_streams", "pretraining")
    if place and rows[place - 1]["system"] == row["system"]:
        return [None] * (len(names) + 2)
    return [*(row[name] for name in names), percent(row["paper_top1"]), row["checked"]]


def _classes(rows: list[dict[str, Any]], too_few: bool) -> Grid:
    columns = ["class", "test videos", "top-1", "most often mistaken for", "so often"]
    ordered = sorted(rows, key=lambda row: (row["top1"] is None, row["top1"]))
    return Grid(
        columns,
        [[row["label"], row["n_test"], percent(row["top1"]), row["mistaken_for"], row["mistaken"]] for row in ordered],
    )


def _verdict(row: Mapping[str, Any], too_few: bool) -> str:
    return verdict(row["difference_low"], row["difference_high"], too_few)


def _interval(row: Mapping[str, Any], name: str) -> str | None:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return None if low == high else f"{100 * low:.1f} to {100 * high:.1f} %"  # of groups that all agree: no interval


_SHOWN = {
    "ablation": ("Streams and ways to fuse them", _ABLATION_NOTE, _ablation),
    "table1": ("Table I: recurrent networks", _TABLE1_NOTE, _table1),
    "table2": ("Table II: the systems", _TABLE2_NOTE, _table2),
    "svm": ("The search over the SVM", _SVM_NOTE, _svm),
    "classes": ("Test accuracy by class", "Of the first seed.", _classes),
}
