"""Extraction as one Ray Data pass: a row is a part, mapped over one class of actors; a rerun goes on where it ended."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from actionrec.config import Config
from actionrec.distributed.part import Job, PartWorker, Video
from actionrec.distributed.passes import map_parts
from actionrec.distributed.session import session
from actionrec.errors import InputError
from actionrec.storage import copies, parts, reopening
from actionrec.storage.importing import refuse_imported
from actionrec.storage.root import Root, begin
from actionrec.storage.sources import source_folder
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

    With `retry_failed`, what failed is computed again, and its part stored again under its own key. Returns what the
    status table says of the catalog now; raises ActionrecError when the store or Ray gives out, with all that is
    committed kept.
    """
    refuse_imported(root)
    catalog = root.catalog()
    ids: list[str] = catalog["video_id"].to_pylist()
    if not ids:
        raise InputError(f"{root.store.url}: the catalog is empty; catalog a source that holds videos")
    on_stage("weights")
    weights = prepare(root.config, root.store)
    if not root.config.finetune.blocks:
        root.clear("spatial")  # `--replace spatial --set finetune.blocks=0` takes a fine-tuning back
    fingerprint = begin(root, "extract", {name: ref.sha256 for name, ref in weights.items()})
    on_stage("plan")
    plan = parts.plan(root.store, ids, root.config.extract.part_videos, fingerprint)
    reopening.incomplete(root.store, fingerprint)
    if retry_failed:
        reopening.failed(root.store, fingerprint)
    done = parts.committed(root.store)
    videos = source_videos(catalog, root.config)
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
            rows = {part: [vars(video) for video in members] for part, members in todo.items()}
            map_parts(PartWorker, job, rows, root.config, cluster, actor_bytes=CPU_ACTOR_BYTES, report=report)
    found = parts.reconcile(root.store, ids, fingerprint)
    # A rerun of finished work has nothing new to say, and a million videos have many marks.
    return dataclasses.replace(found, leaks=tuple(copies.leaks(root.store, catalog))) if todo else found


def source_videos(catalog: pa.Table, config: Config) -> dict[str, Video]:
    """video_id -> how to read it from `source_folder`'s store."""
    folder = source_folder(config.data).rstrip("/") + "/"
    names = ("video_id", "path", "bytes", "start_s", "end_s")
    rows = zip(*(catalog[name].to_pylist() for name in names), strict=True)
    return {video_id: Video(video_id, path.removeprefix(folder), *rest) for video_id, path, *rest in rows}


@dataclass(frozen=True)
class _Report:
    """Turns the board's counts into Progress for the caller."""

    videos: int
    kept: int
    tell: Callable[[Progress], None]

    def __call__(self, done: int, failed: int) -> None:
        self.tell(Progress(self.videos, self.kept + done, failed, self.kept))
