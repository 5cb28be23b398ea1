"""Extraction as one Ray Data pass: a row is a part, mapped over one class of actors; a rerun goes on where it ended."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from actionrec.cluster.passes import map_parts
from actionrec.cluster.session import session
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.extraction.part import ExtractionJob, PartWorker, VideoFile
from actionrec.extraction.reuse import Taken, another, take
from actionrec.show.words import counted
from actionrec.storage import copies, parts, reopening
from actionrec.storage.readiness import refuse_imported
from actionrec.storage.records import fingerprint
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.samples import all_made
from actionrec.storage.sources import refuse_needed, source_folder
from actionrec.storage.streams import STREAMS, extracted
from actionrec.storage.weights import WeightsRef, prepare

CPU_ACTOR_BYTES = 3 * 2**30  # 2.2 GiB were measured, with clips of 2 s and of 36 s alike; see docs/lab-book.md


@dataclass(frozen=True)
class ExtractionProgress:
    """Where an extraction stands; videos are counted as they are computed, a little before their part is committed."""

    videos: int
    done: int
    failed: int
    kept: int  # of `done`: committed by earlier runs


def extract(
    root: Root,
    *,
    retry_failed: bool = False,
    reuse: str | None = None,
    verbose: bool = False,
    on_progress: Callable[[ExtractionProgress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
    on_plan: Callable[[str], None] = lambda text: None,
    on_taking: Callable[[int, int], None] = lambda done, videos: None,
    on_reuse: Callable[[Taken], None] = lambda taken: None,
) -> parts.Reconciled:
    """Compute of every catalogued video the streams that the configuration needs and no committed part holds.

    What another root, named by `reuse`, has of them is taken over first: `on_taking` is told how far that is, and
    `on_reuse` what came of it. `on_plan` is told in one line what is left to compute. With `retry_failed`, what failed
    is computed again, and its part stored again under its own key. Returns what the status table says of the catalog
    and these streams now; raises ActionrecError when the store or Ray gives out, with all that is committed kept, and
    GoneError, before anything is written, where videos are to be read and none is there any more.
    """
    refuse_imported(root)
    catalog = root.catalog()
    ids: list[str] = catalog["video_id"].to_pylist()
    if not ids:
        raise InputError(f"{root.store.url}: the catalog is empty; catalog a source that holds videos")
    streams = extracted(root.config)
    if not streams:
        raise InputError("streams: none is named, so there is nothing to extract; name one, such as [spatial]")
    refuse_needed(root, catalog, retry_failed)
    other = another(root, reuse) if reuse is not None else None
    on_stage("weights")
    weights = prepare(root.config, root.store, streams)
    made = begin_streams(root, streams, weights)
    on_stage("plan")
    mark = fingerprint("catalog", root.config, {})
    plan = parts.plan(root.store, ids, root.config.extract.part_videos, mark, all_made(root))
    reopening.incomplete(root, streams)
    if retry_failed:
        reopening.failed(root, streams)
    videos = source_videos(catalog, root.config)
    members = {part: [i for i in planned if i in videos] for part, planned in plan.items()}
    lacking = _lacking(root, streams, members)
    if other and lacking:
        on_stage(f"taking over from {other.store.url}")
        on_reuse(take(root, other, lacking, plan, videos, on_taking))
        lacking = _lacking(root, streams, members)
    on_plan(told(streams, _of_videos(root, made, lacking, members)))
    if lacking:
        on_stage("Ray")
        needed = tuple(stream for stream in streams if any(stream in each for each in lacking.values()))
        job = ExtractionJob(
            root.config, root.store.url, source_folder(root.config.data), weights, all_made(root), needed
        )
        rows = {part: [vars(videos[i]) for i in members[part]] for part in lacking}
        report = _Report(len(ids), len(ids) - sum(map(len, rows.values())), on_progress)
        with session(verbose) as cluster:
            on_stage("extract")
            map_parts(PartWorker, job, rows, root.config, cluster, actor_bytes=CPU_ACTOR_BYTES, report=report)
    found = parts.reconcile(root.store, ids, made)
    # A rerun of finished work has nothing new to say, and a million videos have many marks.
    return dataclasses.replace(found, leaks=tuple(copies.leaks(root.store, streams[0], catalog))) if lacking else found


def begin_streams(root: Root, streams: Sequence[str], weights: Mapping[str, WeightsRef]) -> dict[str, str]:
    """Begin these streams, in order; their fingerprints."""
    made: dict[str, str] = {}
    for name, row in STREAMS.items():
        if name in streams:
            own = {f"{row.section} weights": weights[name].sha256} if name in weights else {}
            made[name] = begin(root, name, own | made_from(root, *row.needs(root.config)), last=False)
    root.save_config()
    return made


def told(streams: Sequence[str], videos: Mapping[tuple[str, ...], int]) -> str:
    """In a line what is to be done of `streams`; `videos`: how many of them lack which."""
    todo = sorted(videos.items(), key=lambda each: -each[1])
    work = [f"{_listed(lack)} of {count:,}" for lack, count in todo[1:]]
    there = [stream for stream in streams if not any(stream in lack for lack, _ in todo)]
    first = [f"{_listed(lack)} of {counted(count, 'video')}" for lack, count in todo[:1]]
    said = [", ".join([*first, *work])] if todo else []
    said += [f"{_listed(there)} {'is' if len(there) == 1 else 'are'} there"] if there else []
    return "; ".join(said)


def source_videos(catalog: pa.Table, config: Config) -> dict[str, VideoFile]:
    """video_id -> how to read it from `source_folder`'s store."""
    folder = source_folder(config.data).rstrip("/") + "/"
    names = ("video_id", "path", "bytes", "start_s", "end_s")
    rows = zip(*(catalog[name].to_pylist() for name in names), strict=True)
    return {video_id: VideoFile(video_id, path.removeprefix(folder), *rest) for video_id, path, *rest in rows}


def _lacking(root: Root, streams: Sequence[str], members: Mapping[int, Sequence[str]]) -> dict[int, tuple[str, ...]]:
    """Part -> the streams that it lacks, of the parts that lack one and still have a video."""
    done = {stream: parts.committed(root.store, stream) for stream in streams}
    found = {part: tuple(stream for stream in streams if part not in done[stream]) for part in members}
    return {part: lack for part, lack in found.items() if lack and members[part]}


def _of_videos(
    root: Root, made: Mapping[str, str], lacking: Mapping[int, tuple[str, ...]], members: Mapping[int, Sequence[str]]
) -> Counter[tuple[str, ...]]:
    """How many videos lack which streams: of a part that was reopened some have them still."""
    kept = {stream: reopening.kept(root.store, stream, fingerprint) for stream, fingerprint in made.items()}
    found = Counter(
        tuple(stream for stream in lack if video_id not in kept[stream].get(part, ()))
        for part, lack in lacking.items()
        for video_id in members[part]
    )
    del found[()]
    return found


def _listed(names: Sequence[str]) -> str:
    """In words: flow, spatial and audio."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


@dataclass(frozen=True)
class _Report:
    """Turns the board's counts into Progress for the caller."""

    videos: int
    kept: int
    tell: Callable[[ExtractionProgress], None]

    def __call__(self, done: int, failed: int) -> None:
        self.tell(ExtractionProgress(self.videos, self.kept + done, failed, self.kept))
