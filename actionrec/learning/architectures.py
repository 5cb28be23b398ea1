"""The rows of Table I: which recurrent networks the sweep compares."""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Literal

from actionrec.config import Rnn


@dataclass(frozen=True)
class Architecture:
    """One row. See docs/decisions/0019-rows-of-table-one.md for how the grid was read."""

    name: str
    cell: Literal["gru", "lstm"]
    units: int  # hidden units of one direction
    layers: int = 1
    bidirectional: bool = False
    attention: bool = False
    svm: bool = False  # a linear SVM on the video embeddings, in place of the softmax layer that they were trained with

    def of(self, rnn: Rnn) -> Rnn:
        """This architecture trained as `rnn` says."""
        return dataclasses.replace(
            rnn,
            cell=self.cell,
            units=self.units,
            layers=self.layers,
            bidirectional=self.bidirectional,
            attention=self.attention,
        )

    def trained_as(self) -> "Architecture":
        """The row whose network this one needs: itself, unless only its classifier is another."""
        return next(row for row in TABLE1 if row == dataclasses.replace(self, name=row.name, svm=False))


UNITS = (256, 512, 1024, 2048)
BEST = Architecture("S.BiGRU 512", "gru", 512, layers=2, bidirectional=True)  # of the paper

TABLE1 = (
    *(
        Architecture(f"{'Bi' if both else ''}{cell.upper()} {units}", cell, units, bidirectional=both)  # type: ignore[arg-type]
        for cell, both, units in itertools.product(("lstm", "gru"), (False, True), UNITS)
    ),
    BEST,
    dataclasses.replace(BEST, name="S.BiGRU 512 + self-attention", attention=True),
    dataclasses.replace(BEST, name="S.BiGRU 512 + SVM", svm=True),
)
