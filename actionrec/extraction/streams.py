"""The streams of one decoded video, one after another: each may be made from those before it."""

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from actionrec import schema
from actionrec.blame import Blame, blame, said
from actionrec.config import Config
from actionrec.errors import ActionrecError, Reason, VideoError
from actionrec.features.extractor import Absent, DecodedVideo, Extractor, Row
from actionrec.storage.store import Store
from actionrec.storage.streams import STREAMS, above
from actionrec.storage.weights import WeightsRef, load


@dataclass(frozen=True)
class Computed:
    """One stream of one video: the columns of its feature row, or why there is none (None: the video has no audio)."""

    row: Mapping[str, Any] | None
    error: VideoError | None
    compute_s: float
    lack: VideoError | None = None  # why a sound track that is there counts as none; no failure

    @property
    def status(self) -> str:
        """As it stands in the status table."""
        return "failed" if self.error else "no_audio" if self.row is None else "ok"


class Streams:
    """The networks of some streams, on one device."""

    def __init__(
        self, config: Config, weights: Mapping[str, WeightsRef], store: Store, device: str, streams: Collection[str]
    ) -> None:
        torch.set_num_threads(config.extract.threads)
        self._config = config
        self._extractors: dict[str, Extractor] = {}
        for name, row in STREAMS.items():
            if name in streams:
                fill = functools.partial(_fill, weights, name, store)
                self._extractors[name] = row.extractor(config, device, fill)

    def compute(
        self, clip: DecodedVideo, streams: Collection[str] | None = None, before: Mapping[str, Computed] | None = None
    ) -> dict[str, Computed]:
        """Stream -> its result, of these streams, by default of all. Raises nothing for a bad video: what went wrong
        stands in the result.

        `before`: of the streams that these are made from those that are not computed now. What is the machine's fault
        or the configuration's is raised as it is; see actionrec.blame.
        """
        found: dict[str, Computed] = {}
        for name in (name for name in self._extractors if streams is None or name in streams):
            known = {**(before or {}), **found}
            found[name] = self._compute(name, clip, {upper: known[upper] for upper in above(name, self._config)})
        return found

    def table(self, stream: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> pa.Table:
        """A part's feature table [rows, the stream's schema]."""
        return schema.feature_table(STREAMS[stream].schema(self._extractors[stream].width), rows)

    def _compute(self, stream: str, clip: DecodedVideo, known: Mapping[str, Computed]) -> Computed:
        for name, upper in known.items():
            if upper.error is not None:
                return Computed(None, VideoError(upper.error.reason, f"no {name} to go by: {upper.error.detail}"), 0.0)
        rows = {name: upper.row for name, upper in known.items() if upper.row is not None}
        start = time.perf_counter()
        try:
            result = self._extractors[stream](clip, rows)
        except VideoError as error:
            return Computed(None, error, time.perf_counter() - start)
        except ActionrecError:
            raise
        except Exception as error:
            if blame(error) is not Blame.VIDEO:
                raise
            return Computed(None, VideoError(Reason.COMPUTE, said(error)), time.perf_counter() - start)
        return _of(result, time.perf_counter() - start)


def _fill(
    weights: Mapping[str, WeightsRef], stream: str, store: Store, network: nn.Module
) -> Mapping[str, torch.Tensor]:
    return load(network, weights[stream], store)


def _of(result: Row | Absent, compute_s: float) -> Computed:
    if isinstance(result, Absent):
        return Computed(None, None, compute_s, result.why)
    return Computed(result, None, compute_s)
