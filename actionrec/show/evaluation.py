"""The tables of an evaluation as Markdown, each with what made it and how it is to be read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actionrec.show import notes
from actionrec.show.tables import Grid, Measured, escape, markdown, measured, percent, share

NOT_RUN = "not run"  # the status of a row of Table I of which no seed was trained, and of a system of Table II
OUT_OF_DATE = "out of date"  # of a system that has judged other videos than there are now
REFITTED = "svm, refitted"  # the fused SVM, fitted again on train and validation together
PROPOSED = "proposed"  # the row of Table II that is the fused model


@dataclass(frozen=True)
class Reading:
    """What the figures of a table are to be read with."""

    caution: str = ""  # why nothing can be read into them; empty where something can
    mark: Callable[[Sequence[str]], str] = lambda streams: ""  # what stands beside every figure of these streams
    streams: tuple[str, ...] = ()  # what the table is made from, where its rows do not say
    method: str = ""  # the classifier of the fused model, which is *the* model; empty where there is none

    @property
    def model(self) -> str:
        """What *the* model is called wherever it is shown."""
        return f"{' + '.join(self.streams)} ({self.method})"

    @property
    def own_mark(self) -> str:
        return self.mark(self.streams)

    def is_model(self, row: Mapping[str, Any]) -> bool:
        """Whether this row of a table of streams and classifiers is the model's."""
        return bool(self.method) and (tuple(row["streams"]), row["method"]) == (self.streams, self.method)


@dataclass(frozen=True)
class Shown:
    """How a table is shown: its title, how it is to be read, and its cells."""

    title: str
    note: str
    grid: Grid


def shown(name: str, table: pa.Table, reading: Reading) -> Shown:
    """The table `name` as people see it. KeyError for one that is for programs only."""
    title, note, grid = _SHOWN[name]
    caution = "" if name == "svm" else reading.caution  # the search looks at no test video
    return Shown(title, f"{caution} {note}".lstrip(), grid(table.to_pylist(), reading))


def render(name: str, table: pa.Table, made_by: str, reading: Reading) -> str:
    """The Markdown of the table `name`; empty for a table that is for programs only."""
    if name not in _SHOWN:
        return ""
    found = shown(name, table, reading)
    return "\n\n".join([f"# {found.title}", escape(made_by), found.note, markdown(found.grid)]) + "\n"


def worst_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The one order of classes: the worst first, equals by name, and last those without a test video."""
    return sorted(rows, key=lambda row: (row["top1"] is None, row["top1"] or 0.0, row["label"]))


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


def _ablation(rows: list[dict[str, Any]], reading: Reading) -> Grid:
    columns = ["streams", "classifier", "judged", "validation top-1", "test top-1", "sd", "95 %", "test top-5", ""]
    return Grid(
        columns,
        [
            [
                " + ".join(row["streams"]),
                row["method"],
                row["n_judged"],
                *_top1(row, mark := reading.mark(row["streams"])),
                share(row["top5"], mark),
                _said(**{"best on validation": row["best_on_validation"], "the model": reading.is_model(row)}),
            ]
            for row in rows
        ],
        f"The largest class is {percent(rows[0]['majority'])} of the {rows[0]['n_test']:,} test videos.",
        _place(map(reading.is_model, rows)),
    )


def _table1(rows: list[dict[str, Any]], reading: Reading) -> Grid:
    missing = [row["model"] for row in rows if row["status"] == NOT_RUN]
    rows = [row for row in rows if row["status"] != NOT_RUN]
    mark = reading.own_mark
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
                *_top1(row, mark),
                *(share(row[name], mark) for name in ("top5", "top5_sd")),
                *(share(row[name], digits=2) for name in ("paper_top1", "paper_top5")),
                *_difference(row, reading, mark),
                row["epochs"],
                row["seconds_per_epoch"],
                _said(**{"best on validation": row["best_on_validation"], row["status"]: row["status"] != "done"}),
            ]
            for row in rows
        ],
        f"Not run: {', '.join(missing)}." if missing else "",
        _place(bool(row["best_on_validation"]) for row in rows),
    )


def _svm(rows: list[dict[str, Any]], reading: Reading) -> Grid:
    columns = ["streams", "normalization", "lambda", "validation top-1", "sd", ""]
    ordered = sorted(rows, key=lambda row: (not row["chosen"], -row["val_top1"]))
    return Grid(
        columns,
        [
            [
                " + ".join(row["streams"]),
                row["normalization"],
                row["l2"],
                *(share(row[name], reading.mark(row["streams"])) for name in ("val_top1", "val_top1_sd")),
                _said(chosen=row["chosen"], **{"not converged": not row["converged"]}),
            ]
            for row in ordered
        ],
        marked=_place(bool(row["chosen"]) for row in ordered),
    )


def _table2(rows: list[dict[str, Any]], reading: Reading) -> Grid:
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
                *_top1(row, mark := reading.mark(row["streams"]) if row["streams"] else ""),
                *_difference(row, reading, mark),
                _said(chosen=row["chosen"], **{"the model": row["name"] == PROPOSED and row["method"] is not None}),
            ]
            for place, row in enumerate(rows)
        ],
        " ".join(f"{status.capitalize()}: {', '.join(names)}." for status, names in left_out.items() if names),
        _place(row["name"] == PROPOSED for row in rows),
    )


def _once(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], place: int) -> list[Any]:
    """A system's name, and in the first of its rows what the paper prints of it."""
    names = ("system", "type", "paper_streams", "pretraining")
    if place and rows[place - 1]["system"] == row["system"]:
        return [row["system"], *[None] * (len(names) + 1)]
    return [*(row[name] for name in names), share(row["paper_top1"]), row["checked"]]


def _classes(rows: list[dict[str, Any]], reading: Reading) -> Grid:
    columns = ["class", "test videos", "top-1", "most often mistaken for", "so often"]
    mark = reading.own_mark
    return Grid(
        columns,
        [
            [row["label"], row["n_test"], share(row["top1"], mark), row["mistaken_for"], row["mistaken"]]
            for row in worst_first(rows)
        ],
    )


def _top1(row: Mapping[str, Any], mark: str) -> list[Measured | None]:
    """Four cells: validation top-1, test top-1, its deviation and its interval."""
    return [*(share(row[name], mark) for name in ("val_top1", "top1", "top1_sd")), _interval(row, "top1", mark)]


def _difference(row: Mapping[str, Any], reading: Reading, mark: str) -> list[object]:
    """Three cells: the difference, its interval, and what that says."""
    if row["difference"] is None:
        return [None] * 3
    said = verdict(row["difference_low"], row["difference_high"], bool(reading.caution))
    return [share(row["difference"], mark), _interval(row, "difference", mark), said]


def _interval(row: Mapping[str, Any], name: str, mark: str) -> Measured | None:
    """None where all groups agree: that shows no spread."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return None if low == high else Measured(f"{100 * low:.1f} to {100 * high:.1f} %", mark)


def _said(**words: bool | None) -> str | None:
    return "; ".join(word for word, is_so in words.items() if is_so) or None


def _place(found: Iterable[bool]) -> int | None:
    """Which row is the first of which it is so."""
    return next((place for place, is_so in enumerate(found) if is_so), None)


_SHOWN = {
    "ablation": ("Streams and ways to fuse them", notes.ABLATION, _ablation),
    "table1": ("Table I: recurrent networks", notes.TABLE1, _table1),
    "table2": ("Table II: the systems", notes.TABLE2, _table2),
    "svm": ("The search over the SVM", notes.SVM, _svm),
    "classes": ("Test accuracy by class", notes.CLASSES, _classes),
}


def marked(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], table_schema: pa.Schema, mark: str
) -> list[list[object]]:
    """These columns of the rows of a table, its figures (which are float64) with what they are to be read with."""
    figures = {field.name for field in table_schema if field.type == pa.float64()}
    return [[measured(row[name], mark) if name in figures else row[name] for name in columns] for row in rows]
