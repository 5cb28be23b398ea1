"""The rows of the paper's Table II, and what each system that runs here has to offer."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.learning.metrics import Classes, Scores
from actionrec.storage.root import Root
from actionrec.storage.samples import Samples
from actionrec.storage.stages import BASELINES
from actionrec.training.spec import TrainingSpec

PUBLISHED = Path(__file__).with_name("table2.csv")  # as the paper prints it, and what other papers say of the figures

Sequences = Mapping[str, NDArray[np.float32]]  # stream -> [L, E], of the streams that a video has
Score = Callable[[Sequences], NDArray[np.float64]]  # -> [S, C]: a row for each of a system's networks, NaN: cannot


@dataclass(frozen=True)
class Published:
    """A row of the paper's Table II."""

    name: str  # what it is called here
    system: str
    type: str
    streams: str
    pretraining: str
    paper_top1: float  # a share
    checked: str  # what the systems' own papers report, and for which splits


@dataclass(frozen=True)
class Side:
    """The labelled videos of a split, and what a system's networks say of them."""

    scores: NDArray[np.float64]  # [S, N, C], NaN where a network cannot judge a video
    target: Classes  # [N]
    groups: Sequence[str]  # [N]
    video_ids: Sequence[str]  # [N]


@dataclass(frozen=True)
class Method:
    """One way to make one score of those of all networks, trained and chosen without the test split."""

    scores: Mapping[str, Scores]  # split -> [N, C]
    settings: Mapping[str, object]  # that were chosen on validation


class System(Protocol):
    """A system of Table II that runs here: a module of this room."""

    NAME: str
    SPLITS: Sequence[str]  # whose videos its networks score

    def network_names(self, config: Config) -> Sequence[str]:
        """The names of its S networks. InputError: `streams` lacks what it cannot do without."""

    def streams(self, config: Config) -> Sequence[str]:
        """The streams that it reads."""

    def inputs(self, root: Root) -> Mapping[str, str]:
        """What it is made from beside stages and videos, each by a hash or a name."""

    def specs(self, root: Root, samples: Mapping[str, Samples], seed: int, fingerprint: str) -> Sequence[TrainingSpec]:
        """What is to be trained for it. `samples`: the videos of each of its streams."""

    def scorer(self, root: Root, seed: int, fingerprint: str, device: str) -> Score:
        """What scores a video by its trained networks."""

    def fuse(self, sides: Mapping[str, Side], root: Root, seed: int) -> Mapping[str, Method]:
        """Its ways to fuse the networks' scores, by name, each with its scores on validation and test.

        A way that is called like one of the networks is that network alone. The system's own figure is that of the way
        which is best on validation among the others.
        """


def published() -> tuple[Published, ...]:
    """All rows, in the paper's order."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        return tuple(
            Published(row.pop("name"), row.pop("system"), paper_top1=round(float(row.pop("top1")) / 100, 6), **row)
            for row in csv.DictReader(file)
        )


def chosen(name: str) -> tuple[str, ...]:
    """The systems that NAME of `actionrec baseline NAME` stands for. InputError: none of them runs here."""
    if name == "all":
        return BASELINES
    if name in BASELINES:
        return (name,)
    known = {row.name: row.system for row in published()}
    why = f"{known[name]} does not run here yet" if name in known else "there is no such system in Table II"
    raise InputError(f"baseline {name}: {why}; choose among {', '.join(BASELINES)}, all")


def demand(name: str, config: Config, *streams: str) -> None:
    """InputError where `streams` lacks one that the system `name` cannot do without."""
    if missing := [stream for stream in streams if stream not in config.streams]:
        raise InputError(
            f"baseline {name}: it needs the stream {missing[0]}, which is not among "
            f"streams={list(config.streams)}; add it with --set streams=[...], or leave this baseline out"
        )
