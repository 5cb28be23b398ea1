"""The streams, a row each: what a stream is made from and by, and what of the configuration changes it.

To add a stream: its file in features/, its section of the configuration, and its row here. A network whose weights are
published has a recipe in recipes.py, too.
"""

from __future__ import annotations  # networks and recipes are imported late: the rows are read by every verb

import importlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa

from actionrec import schema
from actionrec.config import DIS, LOGMEL, Config
from actionrec.errors import InputError

if TYPE_CHECKING:
    from actionrec.features.cost import Cost
    from actionrec.features.extractor import Extractor, Fill
    from actionrec.weights.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One sequence of values a video. Its name is also that of the stage that makes it, see stages.py."""

    name: str
    module: str  # its file in features/: `extractor` (see features/extractor.py), unless not `decoded`, and `cost`
    verb: str = "extract"  # what makes it
    section: str  # of the configuration: its network's; that of what it is made from, where nothing is to be set of it
    needs: Callable[[Config], Sequence[str]]  # the stages, other streams among them, that it is made from
    timed_by: tuple[str, ...] = ()  # of those the streams whose moments alone it takes, so their networks say nothing
    keys: tuple[str, ...]  # sections ("audio.") and keys of the configuration that change it
    ignores: Callable[[Config], Sequence[str]] = lambda config: ()  # those of them that this configuration does not use
    recipe: Callable[[Config], Recipe | None] = lambda config: None  # of the weights that its network is given
    decoded: bool = True  # whether it is made in the one decode of a video; else from streams that are stored
    unit: Literal["pairs", "samples", "examples"]  # what its sequence has one step for, see planning/forecast.py
    fused: bool = True  # whether it may stand in `streams`, and then has a recurrent network
    of_pictures: bool = True  # whether it looks at the pictures of a decoded video; else they are not made for it
    of_frames: bool = False  # whether its embeddings belong to frames of the video; else to moments
    columns: pa.Schema | None = None  # of its table, where that holds no embeddings
    lent: pa.Schema = schema.NOTHING  # its columns that are read by the streams that are made from it in that decode

    def extractor(self, config: Config, device: str, fill: Fill) -> Extractor:
        """What makes it of decoded videos; `fill` gives its network the weights."""
        return cast("Extractor", self._module().extractor(config, device, fill))

    def cost(self, config: Config) -> Cost:
        """Of one step."""
        return cast("Cost", self._module().cost(config))

    def schema(self, width: int) -> pa.Schema:
        """Of its table of features, with embeddings of `width` numbers."""
        return self.columns or schema.embedding(width, self.of_frames)

    def schema_of(self, data: bytes, name: str) -> pa.Schema:
        """Of the table of features that the file `name` holds. InputError: it holds no embeddings, and ought to."""
        return self.columns or self.schema(schema.embedding_width(data, name))

    def _module(self) -> ModuleType:
        return importlib.import_module(f"actionrec.features.{self.module}")


def imported(config: Config) -> bool:
    """Whether the features come from a file of somebody's own: nothing but that file decides them."""
    return config.data.dataset == "features"


def _recipe(name: str) -> Callable[[Config], Recipe | None]:
    """The function of recipes.py that has this name."""

    def found(config: Config) -> Recipe | None:
        from actionrec.weights import recipes

        make: Callable[[Config], Recipe | None] = getattr(recipes, name)
        return make(config)

    return found


def _spatial_needs(config: Config) -> Sequence[str]:
    """Adaptive sampling looks at the flow; the other methods go by the clock alone."""
    if imported(config):
        return ()
    tuned = ("finetune",) if config.finetune.blocks else ()
    return (*tuned, "flow") if config.sampling.method == "adaptive" else tuned


def _spatial_ignores(config: Config) -> Sequence[str]:
    if imported(config):
        return ("",)
    return (*_no_seed(config.frame.weights), *(() if config.sampling.method == "adaptive" else ("sampling.segment_s",)))


def _flow_ignores(config: Config) -> Sequence[str]:
    return ("seed", "flow.weights", "flow.checkpoint") if config.flow.model == DIS else _no_seed(config.flow.weights)


def _audio_ignores(config: Config) -> Sequence[str]:
    if config.audio.model == LOGMEL:
        return ("seed", "audio.weights", "audio.pca")
    return _no_seed(config.audio.weights)


def _no_seed(weights: str) -> Sequence[str]:
    return () if weights == "random" else ("seed",)


# In the order of work, which is also that in which video embeddings are concatenated, and tables name them.
STREAMS = {
    row.name: row
    for row in (
        Stream(
            name="flow",
            module="flow_stream",
            section="flow",
            needs=lambda config: (),
            keys=("clip.", "flow.", "seed"),
            ignores=_flow_ignores,
            unit="pairs",
            recipe=_recipe("flow"),
            fused=False,
            columns=schema.FLOW,
            lent=schema.MOTION,
        ),
        Stream(
            name="spatial",
            module="spatial_stream",
            section="frame",
            needs=_spatial_needs,
            keys=("clip.", "sampling.", "frame.", "seed"),
            ignores=_spatial_ignores,
            unit="samples",
            recipe=_recipe("frame"),
            of_frames=True,
        ),
        Stream(
            name="motion",
            module="motion_stream",
            verb="motion",
            section="motion",
            needs=lambda config: ("motion_cnn", "flow", "spatial"),
            timed_by=("spatial",),  # the frames that were sampled
            keys=(),
            decoded=False,
            unit="samples",
            of_frames=True,
        ),
        Stream(
            name="audio",
            module="audio_stream",
            section="audio",
            needs=lambda config: (),
            keys=("clip.max_s", "audio.", "seed"),  # no picture is looked at
            ignores=_audio_ignores,
            unit="examples",
            recipe=_recipe("audio"),
            of_pictures=False,
        ),
    )
}
FUSED = tuple(name for name, row in STREAMS.items() if row.fused)


def check(config: Config) -> None:
    """InputError, naming the key, where a stream is asked for that there is not."""
    asked = {f"streams[{place}]": name for place, name in enumerate(config.streams)}
    for key, name in (asked | {"tune.stream": config.tune.stream}).items():
        if name not in FUSED:
            raise InputError(f"{key} must be one of {', '.join(FUSED)}, not {name!r}")


def wanted(config: Config) -> tuple[str, ...]:
    """The streams that this configuration asks for, with those that they are made from. InputError as `check`."""
    check(config)
    return _with_above((*config.streams, *((config.tune.stream,) if config.tune.in_run else ())), config)


def extracted(config: Config) -> tuple[str, ...]:
    """Of the wanted streams those that are made from decoded videos."""
    return tuple(name for name in wanted(config) if STREAMS[name].decoded)


def random_networks(config: Config, streams: Collection[str]) -> list[str]:
    """The sections of the networks with random weights behind these streams."""
    sections = dict.fromkeys(networks(config, streams).values())
    return [section for section in sections if getattr(config, section).weights == "random"]


def networks(config: Config, streams: Collection[str]) -> dict[str, str]:
    """Stream -> section, of these streams and those that they are made from, where a network with weights that were not
    learnt in this root makes them. `dis` and `logmel` are no networks."""
    if imported(config):
        return {}  # what made them is not known
    rows = [STREAMS[name] for name in _with_above(streams, config, by_value=True)]
    return {
        row.name: row.section
        for row in rows
        if hasattr(getattr(config, row.section), "weights") and f"{row.section}.weights" not in row.ignores(config)
    }


def _with_above(streams: Collection[str], config: Config, *, by_value: bool = False) -> tuple[str, ...]:
    """These streams with those that they are made from, in the order of work; `by_value`: not from moments alone."""
    found = set(streams)
    waiting = list(found)
    while waiting:
        stream = waiting.pop()
        fresh = set(above(stream, config)) - found - set(STREAMS[stream].timed_by if by_value else ())
        found |= fresh
        waiting += fresh
    return tuple(name for name in STREAMS if name in found)


def look_at_pictures(streams: Collection[str]) -> bool:
    """Whether one of these streams does."""
    return any(STREAMS[name].of_pictures for name in streams)


def above(stream: str, config: Config) -> tuple[str, ...]:
    """The streams that a stream is made from."""
    return tuple(name for name in STREAMS[stream].needs(config) if name in STREAMS)
