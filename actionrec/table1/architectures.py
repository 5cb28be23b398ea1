"""The rows of Table I: which recurrent networks the sweep compares, and what the paper reports of each."""

import csv
import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from actionrec.config import Rnn
from actionrec.errors import InputError

PUBLISHED = Path(__file__).with_name("table1.csv")  # the paper's Table I as it is printed, accuracies in per cent
HEADS = 8  # of the attention layer, as in the work that the paper cites for it; see docs/decisions
_MODEL = re.compile(r"(?P<stacked>S\. )?(?P<both>Bi)?(?P<cell>LSTM|GRU)(?P<variant> \+ (attention|SVM))?")


@dataclass(frozen=True)
class Architecture:
    """One row. See docs/decisions/0019-rows-of-table-one.md."""

    name: str
    cell: Literal["gru", "lstm"]
    units: int  # hidden units of one cell, which sees one direction (V.E)
    layers: int = 1
    bidirectional: bool = False
    attention: bool = False
    svm: bool = False  # a linear SVM on the video embeddings, in place of the softmax layer that they were trained with
    paper_top1: float | None = None  # shares, of UCF101's first test split
    paper_top5: float | None = None

    def of(self, rnn: Rnn) -> Rnn:
        """This architecture trained as `rnn` says."""
        return dataclasses.replace(
            rnn,
            cell=self.cell,
            units=self.units,
            layers=self.layers,
            bidirectional=self.bidirectional,
            attention=self.attention,
            heads=HEADS if self.attention else 1,
        )

    def trained_as(self) -> "Architecture":
        """The row whose network this one needs: itself, unless only its classifier is another."""
        return next(row for row in TABLE1 if not row.svm and row.of(Rnn()) == self.of(Rnn()))


def chosen(names: Sequence[str]) -> list[Architecture]:
    """The rows of these names, spaces aside, in the table's order; all rows where there are no names."""
    known = {_plain(row.name): row for row in TABLE1}
    if unknown := [name for name in names if _plain(name) not in known]:
        raise InputError(
            f"tune.rows: there is no row {unknown[0]!r} in Table I; choose with --set tune.rows=[...] among "
            f"{', '.join(row.name for row in TABLE1)}"
        )
    wanted = {_plain(name) for name in names} or set(known)
    return [row for name, row in known.items() if name in wanted]


def _plain(name: str) -> str:
    return name.replace(" ", "").lower()


def _row(model: str, hidden_units: str, top1: str, top5: str) -> Architecture:
    """A line of the paper's table: "S. BiGRU + attention", 512 is called S. BiGRU 512 + attention here."""
    found = _MODEL.fullmatch(model)
    if found is None:
        raise ValueError(f"{PUBLISHED}: {model!r} is not read as a network")
    variant = found["variant"] or ""
    return Architecture(
        f"{model.removesuffix(variant)} {hidden_units}{variant}",
        cast(Literal["gru", "lstm"], found["cell"].lower()),
        int(hidden_units),
        layers=2 if found["stacked"] else 1,
        bidirectional=bool(found["both"]),
        attention="attention" in variant,
        svm="SVM" in variant,
        paper_top1=round(float(top1) / 100, 6),
        paper_top5=round(float(top5) / 100, 6),
    )


with PUBLISHED.open(encoding="utf-8", newline="") as lines:
    TABLE1 = tuple(_row(**line) for line in csv.DictReader(lines))
BEST = max((row for row in TABLE1 if not row.svm), key=lambda row: row.paper_top1 or 0.0)  # (*) in the paper
