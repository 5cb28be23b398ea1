"""embeddings/video.parquet: one pass over parts with every seed's recurrent networks; the driver writes the files."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from actionrec import schema
from actionrec.cluster.passes import map_parts
from actionrec.cluster.session import session
from actionrec.cluster.watcher import Watcher
from actionrec.config import Config
from actionrec.errors import ActionrecError, InputError, VideoError
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root
from actionrec.storage.samples import made_with, read_streams, store_of, with_stream
from actionrec.storage.store import open_store
from actionrec.training.embedder import VideoEmbedder

ACTOR_BYTES = 2 * 2**30
StreamVectors = dict[str, NDArray[np.float32]]  # stream -> float32 [D]


@dataclass(frozen=True)
class EmbedJob:
    """What every worker of one pass needs to know."""

    config: Config
    root_url: str
    holdout: str | None
    seeds: Sequence[int]

    def root(self) -> Root:
        """The driver's root, opened where the worker runs."""
        return Root(open_store(self.root_url, self.config.storage), self.config, self.config, holdout=self.holdout)


def embed_videos(
    root: Root,
    fingerprint: str,
    *,
    verbose: bool = False,
    on_progress: Callable[[int, int, int], None] = lambda done, videos, failed: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> None:
    """Write every seed's video embeddings: a row for each catalogued video, null where it lacks a stream.

    `fingerprint` is that of the stage "embeddings", which has begun.

    Computes nothing for a seed whose file is there already and holds the catalog's videos with the streams that they
    have now. The networks must be there.
    """
    ids = root.catalog()["video_id"].to_pylist()
    members = _members(root, ids)
    streams_of = {video_id: streams for videos in members.values() for video_id, streams in videos.items()}
    seeds = [seed for seed in root.config.seeds if not _is_current(root, fingerprint, seed, ids, streams_of)]
    if not seeds:
        return
    todo = {
        part: [{"video_id": video_id, "streams": streams} for video_id, streams in sorted(videos.items())]
        for part, videos in members.items()
    }
    on_stage("Ray")
    with session(verbose) as cluster:
        on_stage("video embeddings")
        count = sum(map(len, todo.values()))
        returned = map_parts(
            EmbedWorker,
            EmbedJob(root.config, root.store.url, root.holdout, seeds),
            todo,
            root.config,
            cluster,
            actor_bytes=ACTOR_BYTES,
            report=lambda done, failed: on_progress(done, count, failed),
        )
    for seed in seeds:
        table = _table(ids, pa.concat_tables(pa.ipc.open_stream(data).read_all() for data in returned.values()), seed)
        key = layout.video_embeddings(root.further(seed))
        root.output.put(key, schema.to_parquet(table, seeded(fingerprint, seed)))


class EmbedWorker:
    """Embeds parts, one after another, and hands the embeddings back."""

    def __init__(self, job: EmbedJob, device: str) -> None:
        torch.set_num_threads(job.config.extract.threads)
        root = job.root()
        self._seeds = job.seeds
        self._stores = {stream: (store_of(root, stream), made_with(root, stream)) for stream in root.config.streams}
        self._embedders = [VideoEmbedder(root, seed, device) for seed in self._seeds]

    def run(self, part: int, items: Sequence[Mapping[str, Any]], watcher: Watcher) -> bytes:
        """The embeddings of a part as an Arrow stream, a row for each seed and video; items name a video's streams."""
        watcher.begin(part, len(items))
        sequences = read_streams(self._stores, part, items)
        rows: list[tuple[int, str, StreamVectors]] = []
        for video_id, streams in sequences.items():
            rows += [(seed, video_id, embedded) for seed, embedded in self._embed(video_id, streams)]
            watcher.finished(part, video_id, False)
        return _to_stream(rows, self._embedders[0].widths)

    def _embed(self, video_id: str, streams: StreamVectors) -> list[tuple[int, StreamVectors]]:
        try:
            return [(seed, embed(streams)) for seed, embed in zip(self._seeds, self._embedders, strict=True)]
        except VideoError as error:
            raise ActionrecError(f"{video_id!r}: {error.detail}; train it again with --replace rnn") from None
        except InputError as error:
            raise InputError(f"{video_id!r}: {error}") from None


def _to_stream(rows: Sequence[tuple[int, str, StreamVectors]], widths: Mapping[str, int]) -> bytes:
    fields = [pa.field("seed", pa.int64()), *schema.video_embeddings(widths)]
    vectors = [
        pa.array([streams.get(stream) for _, _, streams in rows], pa.list_(pa.float32(), width))
        for stream, width in widths.items()
    ]
    columns = [pa.array([seed for seed, _, _ in rows]), pa.array([video_id for _, video_id, _ in rows]), *vectors]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _table(ids: Sequence[str], rows: pa.Table, seed: int) -> pa.Table:
    """A seed's rows in the catalog's order, with a row of nulls for each video that has no stream at all."""
    mine = rows.filter(pc.equal(rows["seed"], seed)).drop_columns("seed")
    places = {video_id: place for place, video_id in enumerate(mine["video_id"].to_pylist())}
    order = pa.array([places.get(video_id) for video_id in ids], pa.int64())
    taken = mine.drop_columns("video_id").take(order)
    return taken.add_column(0, pa.field("video_id", pa.string(), nullable=False), pa.array(ids, pa.string()))


def _members(root: Root, ids: Sequence[str]) -> dict[int, dict[str, list[str]]]:
    """Part -> catalogued video -> the streams that it has."""
    members: dict[int, dict[str, list[str]]] = {}
    known = set(ids)
    for stream in root.config.streams:
        for part, video_ids in with_stream(root, stream).items():
            for video_id in known.intersection(video_ids):
                members.setdefault(part, {}).setdefault(video_id, []).append(stream)
    return members


def _is_current(
    root: Root, fingerprint: str, seed: int, ids: Sequence[str], streams_of: Mapping[str, Sequence[str]]
) -> bool:
    """Whether a seed's file has its row for each video, with an embedding of each stream that the video has now."""
    try:
        data = root.output.read(layout.video_embeddings(root.further(seed)))
    except FileNotFoundError:
        return False
    try:
        if schema.fingerprint_of(data) != seeded(fingerprint, seed):
            return False
        table = pq.read_table(io.BytesIO(data))
        return bool(table["video_id"].to_pylist() == list(ids)) and all(
            table[stream].is_valid().to_pylist() == [stream in streams_of.get(video_id, ()) for video_id in ids]
            for stream in root.config.streams
        )
    except (pa.ArrowException, OSError, KeyError):
        return False  # a damaged file is made anew
