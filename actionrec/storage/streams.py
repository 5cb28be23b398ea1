"""The streams, a row each: what a stream is made from, and what of the configuration changes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from actionrec import schema
from actionrec.config import Config
from actionrec.features.flow import DIS


@dataclass(frozen=True)
class Stream:
    """One sequence of values a video. Its name is also that of the stage that makes it, see stages.py."""

    name: str
    verb: str  # what makes it
    needs: Callable[[Config], Sequence[str]]  # the stages, other streams among them, that it is made from
    keys: tuple[str, ...]  # sections ("audio.") and keys of the configuration that change it
    ignores: Callable[[Config], Sequence[str]] = lambda config: ()  # those of them that this configuration does not use
    decoded: bool = True  # whether it is made in the one decode of a video; else from streams that are stored
    fused: bool = True  # whether it may stand in `streams`, and then has a recurrent network
    of_frames: bool = False  # whether its embeddings belong to frames of the video; else to moments
    columns: pa.Schema | None = None  # of its table, where that holds no embeddings

    def schema(self, width: int) -> pa.Schema:
        """Of its table of features, with embeddings of `width` numbers."""
        return self.columns or schema.embedding(width, self.of_frames)


def imported(config: Config) -> bool:
    """Whether the features come from a file of somebody's own: nothing but that file decides them."""
    return config.data.dataset == "features"


def _spatial_needs(config: Config) -> Sequence[str]:
    """Adaptive sampling looks at the flow; the other methods go by the clock alone."""
    if imported(config):
        return ()
    tuned = ("finetune",) if config.finetune.blocks else ()
    return (*tuned, "flow") if config.sampling.method == "adaptive" else tuned


def _spatial_ignores(config: Config) -> Sequence[str]:
    return ("",) if imported(config) else _no_seed(config.frame.weights)


def _flow_ignores(config: Config) -> Sequence[str]:
    return ("seed", "flow.weights", "flow.checkpoint") if config.flow.model == DIS else _no_seed(config.flow.weights)


def _no_seed(weights: str) -> Sequence[str]:
    return () if weights == "random" else ("seed",)


# In the order of work, in which the streams' video embeddings are concatenated, too, and tables name them.
STREAMS = {
    row.name: row
    for row in (
        Stream(
            "flow",
            "extract",
            lambda config: (),
            ("clip.", "flow.", "seed"),
            _flow_ignores,
            fused=False,
            columns=schema.FLOW,
        ),
        Stream(
            "spatial",
            "extract",
            _spatial_needs,
            ("clip.", "sampling.", "frame.", "seed"),
            _spatial_ignores,
            of_frames=True,
        ),
        Stream(
            "motion",
            "motion",
            lambda config: ("motion_cnn", "flow", "spatial"),
            (),
            decoded=False,
            of_frames=True,
        ),
        Stream(
            "audio",
            "extract",
            lambda config: (),
            ("clip.", "audio.", "seed"),
            lambda config: _no_seed(config.audio.weights),
        ),
    )
}
FUSED = tuple(name for name, row in STREAMS.items() if row.fused)


def wanted(config: Config) -> tuple[str, ...]:
    """The streams that this configuration asks for, with those that they are made from."""
    found = {*config.streams, *((config.tune.stream,) if config.tune.in_run else ())}
    waiting = list(found)
    while waiting:
        row = STREAMS[waiting.pop()]
        fresh = {name for name in row.needs(config) if name in STREAMS} - found
        found |= fresh
        waiting += fresh
    return tuple(name for name in STREAMS if name in found)
