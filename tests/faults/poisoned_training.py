"""jobs/train.py whose workers crash while they build their network."""

import ctypes
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from actionrec.cli import main
from actionrec.learning.rnn import SequenceClassifier
from actionrec.training import rnn


class CrashingSpec(rnn.RnnSpec):
    """Defined in __main__, so that it travels to the workers by value."""

    def build(self) -> SequenceClassifier:
        ctypes.string_at(0)
        return super().build()


if __name__ == "__main__":
    rnn.RnnSpec = CrashingSpec  # type: ignore[misc]
    main(["train", *sys.argv[1:]])
