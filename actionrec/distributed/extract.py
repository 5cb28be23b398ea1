"""Extraction as one Ray Data pass: a row is a part, mapped over one class of actors; a rerun goes on where it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data

from actionrec.config import Config
from actionrec.distributed.board import Board, BoardWatcher, Poll
from actionrec.distributed.part import Job, PartWorker, Video
from actionrec.distributed.session import Cluster, cores, session
from actionrec.errors import ActionrecError, InputError
from actionrec.storage import layout, parts
from actionrec.storage.root import Root, begin
from actionrec.storage.sources import source_folder
from actionrec.storage.store import Store
from actionrec.storage.weights import prepare

CPU_ACTOR_BYTES = 3 * 2**30  # 2.2 GiB were measured, with clips of 2 s and of 36 s alike; see docs/lab-book.md


@dataclass(frozen=True)
class Progress:
    """Where an extraction stands; videos are counted as they are computed, a little before their part is committed."""

    videos: int
    done: int
    failed: int
    kept: int  # of `done`: committed by earlier runs


def extract(
    root: Root,
    *,
    retry_failed: bool = False,
    verbose: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> parts.Reconciled:
    """Compute every stream of every catalogued video that no committed part holds, and reconcile.

    With `retry_failed`, parts with a failed video are computed again under their own key. Returns what the status table
    says of the catalog now; raises ActionrecError when the store or Ray gives out, with all that is committed kept.
    """
    catalog = root.catalog()
    ids: list[str] = catalog["video_id"].to_pylist()
    if not ids:
        raise InputError(f"{root.store.url}: the catalog is empty; catalog a source that holds videos")
    on_stage("weights")
    weights = prepare(root.config, root.store)
    root.clear("extract")
    fingerprint = begin(root, "extract", {name: ref.sha256 for name, ref in weights.items()})
    on_stage("plan")
    plan = parts.plan(root.store, ids, root.config.extract.part_videos, fingerprint)
    if retry_failed:
        _uncommit_failed(root.store, fingerprint)
    done = parts.committed(root.store)
    videos = _videos(catalog, root.config)
    todo = {part: [videos[i] for i in members if i in videos] for part, members in plan.items() if part not in done}
    todo = {part: members for part, members in todo.items() if members}
    if todo:
        on_stage("Ray")
        source_url = source_folder(root.config.data)
        job = Job(root.config, root.store.url, source_url, weights, fingerprint)
        waiting = sum(map(len, todo.values()))
        report = _Report(len(ids), len(ids) - waiting, on_progress)
        with session(verbose) as cluster:
            on_stage("extract")
            _map_parts(job, todo, cluster, report)
    return parts.reconcile(root.store, ids, fingerprint)


def _uncommit_failed(store: Store, fingerprint: str) -> None:
    """Take back the commit marks of parts with a failed video, so that those parts are computed again."""
    for part, table in parts.statuses(store, sorted(parts.committed(store)), fingerprint).items():
        if "failed" in table["status"].to_pylist():
            store.delete(layout.commit_mark(part))


def _videos(catalog: pa.Table, config: Config) -> dict[str, Video]:
    folder = source_folder(config.data).rstrip("/") + "/"
    rows = zip(*(catalog[name].to_pylist() for name in ("video_id", "path", "bytes")), strict=True)
    return {video_id: Video(video_id, path.removeprefix(folder), size) for video_id, path, size in rows}


@dataclass(frozen=True)
class _Report:
    """Turns the board's counts into Progress for the caller."""

    videos: int
    kept: int
    tell: Callable[[Progress], None]

    def __call__(self, done: int, failed: int) -> None:
        self.tell(Progress(self.videos, self.kept + done, failed, self.kept))


def _map_parts(job: Job, todo: dict[int, list[Video]], cluster: Cluster, report: _Report) -> None:
    on_gpu, actors = _pool(job.config, cluster)
    size = min(len(todo), actors)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours says more
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a part may take hours; each video has its own limit
    board = Board.remote()  # type: ignore[attr-defined]
    rows = [{"part": part, "videos": [vars(video) for video in videos]} for part, videos in sorted(todo.items())]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _PartActor,  # type: ignore[arg-type]  # Ray's stubs know functions only
        fn_constructor_args=(job, board, "cuda" if on_gpu else "cpu"),
        compute=ray.data.ActorPoolStrategy(size=size),
        # A GPU actor claims no CPU; CPU actors leave one to Ray Data's own tasks, which would else wait for ever.
        num_cpus=0 if on_gpu else min(1.0, cluster.cpus / (size + 1)),
        num_gpus=1 if on_gpu else None,
    )
    with Poll(board, report):
        try:
            for receipt in dataset.iter_rows():
                if receipt["error"]:
                    raise (InputError if receipt["bad_input"] else ActionrecError)(receipt["error"])
        except ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ActionrecError(f"a worker failed: {(lines or ['no reason given'])[-1]}; run again to go on") from None


def _pool(config: Config, cluster: Cluster) -> tuple[bool, int]:
    """Whether actors take a GPU each, and how many of them there are to be."""
    wanted = config.extract
    on_gpu = wanted.device == "cuda" or (wanted.device == "auto" and cluster.gpus >= 1)
    actors = wanted.actors or (int(cluster.gpus) if on_gpu else _cpu_actors(config, cluster))
    if actors == 0 or (not on_gpu and cluster.cpus == 0):
        kind = "GPUs" if on_gpu else "CPUs"
        raise InputError(
            f"the cluster has no {kind} now; wait for its workers, or have the autoscaler bring them: "
            "--set extract.device=cuda --set extract.actors=N"
        )
    return on_gpu, actors


def _cpu_actors(config: Config, cluster: Cluster) -> int:
    """One per `extract.threads` cores, as far as memory goes. A local session counts real cores, not logical ones."""
    real = cluster.cpus if len(ray.nodes()) > 1 else min(cluster.cpus, cores())
    by_memory = cluster.memory_bytes / CPU_ACTOR_BYTES if cluster.memory_bytes else real
    return max(1, int(min(real / config.extract.threads, by_memory)))


class _PartActor:
    """A PartWorker as Ray Data's actor: takes one row, returns a receipt.

    Errors of ours travel as receipts, because Ray would print them as tracebacks and wrap them past recognition.
    """

    def __init__(self, job: Job, board: Any, device: str) -> None:
        self._watcher = BoardWatcher(board)
        self._worker, self._error = None, None
        try:
            self._worker = PartWorker(job, device)
        except ActionrecError as error:
            self._error = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        error = self._error
        if self._worker:
            try:
                self._worker.run(row["part"], [Video(**video) for video in row["videos"]], self._watcher)
            except ActionrecError as failure:
                error = failure
        return {"part": row["part"], "error": str(error or ""), "bad_input": isinstance(error, InputError)}
