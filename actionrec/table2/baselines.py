"""`actionrec baseline`: train systems of Table II on the streams of a root, and keep what they say of its videos."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actionrec import schema
from actionrec.errors import InputError
from actionrec.learning.metrics import Classes, Scores
from actionrec.schema import SPLITS
from actionrec.storage import layout, models, provenance
from actionrec.storage.root import Root, begin, made_from, record
from actionrec.storage.samples import Samples, class_labels, revisions, samples, with_stream
from actionrec.storage.stages import STAGES
from actionrec.storage.store import read_if_there
from actionrec.table2.runnable import SYSTEMS
from actionrec.table2.scoring import SystemRun, score_videos
from actionrec.table2.systems import Side
from actionrec.training.progress import NOBODY, TrainingListener
from actionrec.training.ray_train import train

HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class SplitVideos:
    """The N labelled videos of a split, in the catalog's order."""

    video_ids: Sequence[str]
    target: Classes  # [N]
    groups: Sequence[str]  # [N]


@dataclass(frozen=True)
class Judgement:
    """What one way of a system to judge says, of one seed."""

    scores: Mapping[str, Scores]  # val and test -> [N, C], NaN where a video cannot be judged
    alone: bool  # whether it is one of the system's networks by itself
    settings: Mapping[str, Any]  # that were chosen on validation


def train_baselines(
    root: Root, names: Sequence[str], *, verbose: bool = False, listener: TrainingListener = NOBODY
) -> None:
    """Train and score these systems with every seed; a rerun goes on where the last one ended.

    InputError, before anything is deleted or begun: `streams` lacks one that is needed, or there is too little to
    learn from.
    """
    found: dict[str, Samples] = {}
    for name in names:
        SYSTEMS[name].network_names(root.config)
        found |= {stream: samples(root, stream) for stream in SYSTEMS[name].streams(root.config) if stream not in found}
    inputs = {name: _inputs(root, name, found) for name in names}
    # Those that stay come first: where one of them refuses, nothing has been deleted and no setting stored.
    order = sorted(names, key=lambda name: name in root.replaced)
    fingerprints = {name: begin(root, name, inputs[name], last=name == order[-1]) for name in order}
    runs = [SystemRun(name, seed, fingerprints[name]) for name in names for seed in root.config.seeds]
    waiting = [each for each in runs if read_judgements(root, each.system, each.seed) is None]
    specs = [spec for each in waiting for spec in SYSTEMS[each.system].specs(root, found, each.seed, each.fingerprint)]
    train(root, specs, verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    if waiting:
        listener.on_stage("scores")
        videos = {split: split_videos(root, split) for split in SPLITS}
        ids = {each: [i for s in SYSTEMS[each.system].SPLITS for i in videos[s].video_ids] for each in waiting}
        scores = score_videos(root, waiting, ids, verbose=verbose, on_progress=listener.on_videos)
        for each in waiting:
            listener.on_stage(f"fusion of {each.system}, seed {each.seed}")
            _keep(root, each, scores[each], videos)


def split_videos(root: Root, split: str) -> SplitVideos:
    """Those whose class is learnt."""
    catalog = root.catalog()
    targets = {label: target for target, label in enumerate(class_labels(catalog))}
    columns = (catalog[name].to_pylist() for name in ("video_id", "label", "split", "group"))
    rows = [row for row in zip(*columns, strict=True) if row[2] == split and row[1] in targets]
    target_N = np.array([targets[row[1]] for row in rows], np.int64)
    return SplitVideos([row[0] for row in rows], target_N, [row[3] for row in rows])


def read_judgements(root: Root, name: str, seed: int) -> dict[str, Judgement] | None:
    """Way to judge -> what it says, of the labelled videos in the catalog's order; None where that is to be made.

    It is where it has not been, or where other videos are labelled now, or have other streams, than were judged: then
    networks that are trained judge again. InputError where the file is damaged or another's.
    """
    if not root.begun(name):
        return None
    key = layout.baseline_scores(name, root.further(seed))
    where = f"{root.output.url}/{key}"
    if (data := read_if_there(root.output, key)) is None:
        return None
    networks = models.seeded(record(root, name)["fingerprint"], seed)
    stamp = schema.fingerprint_of(data) or ""
    if not stamp.startswith(f"{networks}-"):
        raise InputError(f"{where}: made with other settings or data; use `actionrec baseline {name} --replace {name}`")
    if stamp != f"{networks}-{_videos_now(root, name)}":
        return None
    schema.refuse_bomb(data, where)
    rows = schema.from_parquet(data, schema.BASELINE_SCORES, where).to_pylist()
    classes = len(class_labels(root.catalog()))
    ids = {split: split_videos(root, split).video_ids for split in HELD_OUT}
    found: dict[str, Judgement] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        scores = {}
        for split in HELD_OUT:
            said = {row["video_id"]: row["scores"] for row in own if row["split"] == split}
            if list(said) != list(ids[split]) or any(
                each is not None and len(each) != classes for each in said.values()
            ):
                raise InputError(f"{where}: damaged; delete it and run `actionrec baseline {name}` again")
            scores[split] = np.array([np.full(classes, np.nan) if said[i] is None else said[i] for i in ids[split]])
        found[method] = Judgement(scores, own[0]["alone"], json.loads(own[0]["settings"]))
    return found


def has_judged(root: Root, name: str) -> bool:
    """Whether a system has scores of any seed, of whatever videos."""
    return any(root.output.exists(layout.baseline_scores(name, root.further(seed))) for seed in root.config.seeds)


def _inputs(root: Root, name: str, found: Mapping[str, Samples]) -> dict[str, str]:
    """What a system's networks are made from. Test videos have no say."""
    learnt = provenance.digest([found[stream].digest() for stream in SYSTEMS[name].streams(root.config)])
    return {**made_from(root, *STAGES[name].needs(root.config)), "videos": learnt, **SYSTEMS[name].inputs(root)}


def _videos_now(root: Root, name: str) -> str:
    """A hash of the videos that a system is to judge or be fused by, and of the streams that each of them has."""
    system = SYSTEMS[name]
    sides = {split: split_videos(root, split) for split in system.SPLITS}
    asked = {video_id for side in sides.values() for video_id in side.video_ids}
    streams = [stream for stream in system.streams(root.config) if root.begun(stream)]
    having = {stream: {i for ids in with_stream(root, stream).values() for i in ids} & asked for stream in streams}
    facts: list[object] = [[list(side.video_ids), side.target.tolist()] for side in sides.values()]
    return provenance.digest(
        [*facts, [[stream, sorted(having[stream])] for stream in streams], *revisions(root.catalog())]
    )


def _keep(
    root: Root, run: SystemRun, scores: Mapping[str, NDArray[np.float64]], videos: Mapping[str, SplitVideos]
) -> None:
    """Fuse what the networks of a run say, and store what comes of it."""
    system, classes = SYSTEMS[run.system], len(class_labels(root.catalog()))
    networks = system.network_names(root.config)
    nothing = np.full(len(networks) * classes, np.nan)
    sides = {}
    for split in system.SPLITS:
        side = videos[split]
        flat = np.array([scores.get(video_id, nothing) for video_id in side.video_ids])
        scores_SNC = flat.reshape(-1, len(networks), classes).transpose(1, 0, 2)
        sides[split] = Side(scores_SNC, side.target, side.groups, side.video_ids)
    rows = [
        {"video_id": video_id, "split": split, "method": name, "alone": name in networks}
        | {"settings": json.dumps(method.settings)}
        | {"scores": None if np.isnan(scores_C).any() else scores_C.tolist()}
        for name, method in system.fuse(sides, root, run.seed).items()
        for split in HELD_OUT
        for video_id, scores_C in zip(videos[split].video_ids, method.scores[split], strict=True)
    ]
    table = pa.Table.from_pylist(rows, schema=schema.BASELINE_SCORES)
    key = layout.baseline_scores(run.system, root.further(run.seed))
    stamp = f"{models.seeded(run.fingerprint, run.seed)}-{_videos_now(root, run.system)}"
    root.output.put(key, schema.to_parquet(table, stamp))
