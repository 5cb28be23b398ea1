"""The motion stream: the trained motion CNN over the stored flow of every part, at each clip's sampled frames."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from actionrec import schema
from actionrec.blame import Blame, blame, said
from actionrec.cluster.watcher import Watcher, turned
from actionrec.config import Config
from actionrec.errors import InputError, Reason, VideoError
from actionrec.features.motion_cnn import EMBEDDING_WIDTH, HIDDEN, MotionCNN, MotionEmbedder
from actionrec.storage import layout, models
from actionrec.storage.samples import read_rows
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import STREAMS
from actionrec.weights.tensors import fill

STREAM = "motion"
SAMPLED = schema.embedding(1, of_frames=True).remove(3)  # all but the embeddings


@dataclass(frozen=True)
class MotionJob:
    """What every worker of one pass needs to know."""

    config: Config
    root_url: str
    output_url: str
    fingerprint: str
    network: str  # the fingerprint of the motion CNN
    above: Mapping[str, str]  # the fingerprint of each stream that motion is made from


def load_motion(store: Store, fingerprint: str, config: Config, device: str) -> MotionEmbedder:
    """The trained motion CNN of a root's output. InputError where it is missing or not what was recorded."""
    folder = layout.model(layout.MOTION_CNN)
    model = models.load(store, folder, fingerprint, "use --replace motion")
    try:
        described = {name: model.config[name] for name in ("height", "width", "classes", "dropout")}
        network = MotionCNN(**described, hidden=model.config.get("hidden", HIDDEN))  # of which older ones say nothing
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}config.json: does not describe a motion CNN ({error}); use --replace motion"
        ) from None
    fill(network, model.tensors, folder)
    return MotionEmbedder(network, device=device, batch=config.motion.embed_batch)


def motion_row(
    embedder: MotionEmbedder, flow: Mapping[str, Any], frame_index: Sequence[int], time_s: Sequence[float]
) -> dict[str, Any]:
    """The motion columns of a clip from its row of the flow table. VideoError: its flow cannot be read or computed, or
    the network gave NaN or infinity. What is the machine's fault is raised as it is; see actionrec.blame."""
    try:
        embeddings = embedder(flow, frame_index)
    except InputError as error:
        raise VideoError(Reason.CORRUPT, f"its stored flow cannot be read: {error}") from None
    except Exception as error:
        if blame(error) is not Blame.VIDEO:
            raise
        raise VideoError(Reason.COMPUTE, said(error)) from None
    if not np.isfinite(embeddings).all():
        raise VideoError(Reason.NON_FINITE, "the motion CNN gave NaN or infinity")
    return {"frame_index": frame_index, "time_s": time_s, "embedding": embeddings}


class MotionWorker:
    """Computes parts, one after another."""

    def __init__(self, job: MotionJob, device: str) -> None:
        torch.set_num_threads(job.config.extract.threads)
        self._job = job
        self._root = open_store(job.root_url, job.config.storage)
        self._output = open_store(job.output_url, job.config.storage)
        self._embedder = load_motion(self._output, job.network, job.config, device)

    def run(self, part: int, items: Sequence[Mapping[str, Any]], watcher: Watcher) -> None:
        """Compute and commit the motion features of one part, an item being {"video_id": ...}."""
        ids = [item["video_id"] for item in items]
        again = watcher.begin(part, len(ids))
        failures = self._failures(part)
        usable = [video_id for video_id in ids if video_id not in failures]
        flow = read_rows(self._root, "flow", part, usable, schema.FLOW, self._job.above["flow"])
        sampled = read_rows(self._root, "spatial", part, usable, SAMPLED, self._job.above["spatial"])
        rows: list[tuple[str, dict[str, Any]]] = []
        status: list[dict[str, Any]] = []
        for video_id in turned(ids, again):
            crashes = watcher.starting(part, video_id)
            started = time.perf_counter()
            error = failures.get(video_id) or watcher.given_up(part, video_id, crashes)
            if error is None:
                try:
                    at = sampled[video_id]
                    rows.append((video_id, motion_row(self._embedder, flow[video_id], at["frame_index"], at["time_s"])))
                except VideoError as failure:
                    error = failure
            status.append(_status_row(video_id, error, time.perf_counter() - started))
            watcher.finished(part, video_id, error is not None)
        place = {video_id: number for number, video_id in enumerate(ids)}
        rows.sort(key=lambda row: place[row[0]])
        status.sort(key=lambda row: place[row["video_id"]])
        self._put(layout.feature(STREAM, part), schema.feature_table(STREAMS[STREAM].schema(EMBEDDING_WIDTH), rows))
        self._put(layout.commit_mark(STREAM, part), pa.Table.from_pylist(status, schema=schema.STATUS))

    def _failures(self, part: int) -> dict[str, VideoError]:
        """Videos without flow or sampled frames, with the reason that extract found."""
        found: dict[str, VideoError] = {}
        for stream in self._job.above:
            key = layout.commit_mark(stream, part)
            for row in schema.from_parquet(self._root.read(key), schema.STATUS, f"{self._root.url}/{key}").to_pylist():
                if row["status"] != "ok":
                    error = VideoError(Reason(row["reason"]), f"no {stream} stream: {row['detail']}")
                    found.setdefault(row["video_id"], error)
        return found

    def _put(self, key: str, table: pa.Table) -> None:
        self._output.put(key, schema.to_parquet(table, self._job.fingerprint))


def _status_row(video_id: str, error: VideoError | None, compute_s: float) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "stream": STREAM,
        "status": "failed" if error else "ok",
        "reason": error.reason.value if error else None,
        "detail": error.detail if error else None,
        "compute_s": compute_s,
    }
