"""The pass over all parts in which the trained networks of Table II's systems say what they see in each video."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from actionrec.cluster.passes import map_parts
from actionrec.cluster.session import session
from actionrec.cluster.watcher import Watcher
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.storage.root import Root
from actionrec.storage.samples import made_with, read_streams, store_of, with_stream
from actionrec.storage.store import open_store
from actionrec.table2.runnable import SYSTEMS

ACTOR_BYTES = 2 * 2**30
ROWS = pa.schema([("run", pa.int64()), ("video_id", pa.string()), ("scores", pa.list_(pa.float64()))])


class SystemRun(NamedTuple):
    """The networks of a system and seed."""

    system: str
    seed: int
    fingerprint: str  # of the system's stage


@dataclass(frozen=True)
class ScoreJob:
    """What every worker of the pass needs to know."""

    config: Config
    root_url: str
    runs: Sequence[SystemRun]

    def root(self) -> Root:
        """The driver's root, opened where the worker runs."""
        return Root(open_store(self.root_url, self.config.storage), self.config, self.config)


def score_videos(
    root: Root,
    runs: Sequence[SystemRun],
    videos: Mapping[SystemRun, Sequence[str]],
    *,
    verbose: bool,
    on_progress: Callable[[int, int, int], None],
) -> dict[SystemRun, dict[str, NDArray[np.float64]]]:
    """Run -> video -> scores [S x C] in one row, of those of its `videos` that have one of its streams.

    Networks must be there. Videos go through one at a time, so a score depends on its video alone.
    """
    asked: dict[str, list[int]] = {}
    for place, each in enumerate(runs):
        for video_id in videos[each]:
            asked.setdefault(video_id, []).append(place)
    streams = {stream for each in runs for stream in SYSTEMS[each.system].streams(root.config)}
    todo: dict[int, dict[str, dict[str, Any]]] = {}
    for stream in sorted(streams):
        for part, ids in with_stream(root, stream).items():
            for video_id in ids:
                if video_id in asked:
                    item = {"video_id": video_id, "runs": asked[video_id], "streams": []}
                    todo.setdefault(part, {}).setdefault(video_id, item)["streams"].append(stream)
    count = sum(map(len, todo.values()))
    with session(verbose) as cluster:
        returned = map_parts(
            ScoreWorker,
            ScoreJob(root.config, root.store.url, runs),
            {part: [items[video_id] for video_id in sorted(items)] for part, items in todo.items()},
            root.config,
            cluster,
            actor_bytes=ACTOR_BYTES,
            report=lambda done, failed: on_progress(done, count, failed),
        )
    found: dict[SystemRun, dict[str, NDArray[np.float64]]] = {each: {} for each in runs}
    for data in returned.values():
        for row in pa.ipc.open_stream(data).read_all().to_pylist():
            found[runs[row["run"]]][row["video_id"]] = np.array(row["scores"])
    return found


class ScoreWorker:
    """Scores parts, one after another, and hands the scores back."""

    def __init__(self, job: ScoreJob, device: str) -> None:
        torch.set_num_threads(job.config.extract.threads)
        root = job.root()
        self._runs = [
            (frozenset(system.streams(job.config)), system.scorer(root, each.seed, each.fingerprint, device))
            for each in job.runs
            for system in [SYSTEMS[each.system]]
        ]
        streams = {stream for names, _ in self._runs for stream in names}
        self._stores = {stream: (store_of(root, stream), made_with(root, stream)) for stream in streams}

    def run(self, part: int, items: Sequence[Mapping[str, Any]], watcher: Watcher) -> bytes:
        """The scores of a part as an Arrow stream of ROWS; an item names a video, its runs and its streams."""
        watcher.begin(part, len(items))
        sequences = read_streams(self._stores, part, items)
        rows = []
        for item in items:
            rows += list(self._score(item["video_id"], item["runs"], sequences[item["video_id"]]))
            watcher.finished(part, item["video_id"], False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, ROWS) as writer:
            writer.write_table(pa.Table.from_pylist(rows, schema=ROWS))
        return bytes(sink.getvalue())

    def _score(
        self, video_id: str, runs: Sequence[int], sequences: Mapping[str, NDArray[np.float32]]
    ) -> Iterator[dict[str, Any]]:
        for place in runs:
            streams, score = self._runs[place]
            own = {stream: sequence for stream, sequence in sequences.items() if stream in streams}
            if own:
                try:
                    scores_SC = score(own)
                except InputError as error:
                    raise InputError(f"{video_id!r}: {error}") from None
                yield {"run": place, "video_id": video_id, "scores": scores_SC.ravel().tolist()}
