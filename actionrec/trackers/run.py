"""What a tool is told: a training, then its epochs. No more than JSON holds: each tool has a process of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PROJECT = "actionrec"


@dataclass(frozen=True)
class TrackedRun:
    """One training of one network. What goes on from a checkpoint is a new run, which is told all epochs again."""

    key: str  # of the model's folder, such as models/rnn-spatial: unique under a root
    name: str  # for a person
    root: str  # URL
    settings: Mapping[str, Any]


class Tool(Protocol):
    """A tool, opened for one run. Whatever its methods raise ends it, and nothing else."""

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """What came of an epoch; `number` counts from 1."""

    def close(self) -> None:
        """The run is over."""
