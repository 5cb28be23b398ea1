"""How far a training is, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands."""

    name: str
    epoch: int  # finished
    max_epochs: int
    val_loss: float
    val_top1: float
    networks: int
    networks_done: int
    history: tuple[dict[str, Any], ...] = ()  # all epochs so far, a mapping each, where `log` names a tool


@dataclass(frozen=True)
class TrainingListener:
    """Who is told how far a training is; by default nobody."""

    on_epoch: Callable[[TrainingProgress], None] = lambda progress: None
    on_videos: Callable[[int, int, int], None] = lambda done, videos, failed: None
    on_stage: Callable[[str], None] = lambda text: None


NOBODY = TrainingListener()
