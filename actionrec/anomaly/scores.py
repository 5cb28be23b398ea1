"""The stage "anomaly": an autoencoder of the normal videos' embeddings, and a score for every video.

What it makes lies in models/autoencoder, tables/anomaly and tables/anomaly_holdout; N counts the catalog's videos.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from actionrec import schema
from actionrec.anomaly import holdout_table
from actionrec.anomaly.autoencoder import Scores, Separation, separation
from actionrec.anomaly.detector import (
    Detector,
    Videos,
    check_trainable,
    fit_detector,
    load_detector,
    normal_classes,
    read_videos,
    save_detector,
)
from actionrec.learning.checkpoint import Epoch
from actionrec.show import tables
from actionrec.show.evaluation import marked
from actionrec.storage import layout, models, provenance
from actionrec.storage.journal import Journal
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.samples import class_labels
from actionrec.trackers.run import TrackedRun
from actionrec.trackers.tracking import Tracking

SPLITS = (*schema.SPLITS, None)  # a video without a label may have no split
TOP = 20  # videos that the Markdown table ranks
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """`table` has schema.ANOMALY. The separations are of the other classes' test videos from the normal ones'."""

    table: pa.Table
    not_scored: int
    autoencoder: Separation | None  # None where every class is normal
    neighbors: Separation | None
    written: str  # the table as a person reads it

    def facts(self) -> dict[str, object]:
        """What to tell a person."""
        found = sum(row is True for row in self.table["anomalous"].to_pylist())
        counts = f"{self.table.num_rows - self.not_scored} scored, {found} anomalous, {self.not_scored} not scored"
        facts: dict[str, object] = {"videos": counts}
        for name, each in (("autoencoder", self.autoencoder), ("nearest neighbours", self.neighbors)):
            if each is not None and each.auroc is not None:
                facts[name] = (
                    f"AUROC {each.auroc:.3f} ({each.n_unusual} test videos of other classes, {each.n_usual} normal)"
                )
        return facts | {"table": self.written}


def fit_anomaly(root: Root, *, on_stage: OnStage = lambda text: None) -> None:
    """Train an autoencoder for each seed on the normal training videos, and set its threshold on the normal val videos.

    Raises InputError where there are no embeddings, a class of anomaly.normal does not exist, a split has no normal
    video, or the bottleneck is not smaller than the embedding; all before anything is deleted or begun.
    """
    catalog = root.catalog()
    normal = normal_classes(root, class_labels(catalog))
    check_trainable(root, read_videos(root, root.config.seeds[0], catalog), normal)
    fingerprint = begin(root, "anomaly", made_from(root, "embeddings"))
    for seed in root.config.seeds:
        folder = layout.model(layout.AUTOENCODER, root.further(seed))
        if not models.finished(root.output, folder, models.seeded(fingerprint, seed)):
            on_stage(f"autoencoder, seed {seed}")
            videos = read_videos(root, seed, catalog)
            with Tracking(root.config.log, root.output) as tracking:
                shown = _Shown(root, folder, seed, tracking)
                detector, fitted = fit_detector(root.config.anomaly, videos, normal, seed, shown)
            save_detector(root, detector, fitted, videos, normal, seed)


class _Shown:
    """Writes an autoencoder's epochs down as they come, and tells the tools of `log`."""

    def __init__(self, root: Root, folder: str, seed: int, tracking: Tracking) -> None:
        settings = dataclasses.asdict(root.config.anomaly) | {"seed": seed}
        self._journal, self._tracking = Journal(root.output, folder + layout.JOURNAL), tracking
        self._run = TrackedRun(folder.rstrip("/"), f"autoencoder, seed {seed}", root.output.url, settings)

    def __call__(self, history: Sequence[Epoch]) -> None:
        self._journal(history)
        self._tracking.told(self._run, [dataclasses.asdict(epoch) for epoch in history])


def score_anomaly(root: Root) -> Scored:
    """Score every catalogued video with the first seed's autoencoder, and write tables/anomaly.

    A rerun that finds nothing new writes nothing. InputError where there is no autoencoder, or it has been damaged.
    """
    catalog, seed = root.catalog(), root.config.seeds[0]
    normal = normal_classes(root, class_labels(catalog))
    videos = read_videos(root, seed, catalog)
    detector = load_detector(root, videos, normal, seed)
    known = detector.scorable(videos)
    scores, distances = np.full((2, len(known)), np.nan)
    scores[known], distances[known] = detector.scores(videos.vectors.rows(known))
    others = sorted({label for label in videos.labels if label is not None} - set(normal))
    sides = [videos.of("test", labels) & known for labels in (others, normal)]
    by_network, by_neighbors = (
        separation(values[sides[0]], values[sides[1]]) if others else None for values in (scores, distances)
    )
    table = _table(videos, scores, distances, detector.threshold)
    written = f"{root.output.url}/{layout.table('anomaly', 'md')}"
    scored = Scored(table, int((~known).sum()), by_network, by_neighbors, written)
    holdout_table.write(root, "anomaly", scored.table, _markdown(root, scored, detector, normal))
    return scored


def holdout_all(root: Root, *, on_stage: OnStage = lambda text: None) -> pa.Table:
    """Hold out every class in turn, with the networks as they are: only autoencoder and threshold are made anew.

    Returns tables/anomaly_holdout [rows, schema.ANOMALY_HOLDOUT], which is stored after every class; a class that has
    its row is skipped. The only normal class, if there is but one, cannot be held out and gets no row. A class without
    test clips gets a row without figures. Raises InputError as `fit_anomaly` does, for any class, before it begins.
    """
    catalog = root.catalog()
    classes = class_labels(catalog)
    kept = normal_classes(root, classes)
    normals = {label: [each for each in kept if each != label] for label in classes if kept != [label]}
    videos = {root.config.seeds[0]: read_videos(root, root.config.seeds[0], catalog)}
    for normal in normals.values():
        check_trainable(root, videos[root.config.seeds[0]], normal)
    begin(root, "anomaly", made_from(root, "embeddings"))
    for label, normal in normals.items():
        if holdout_table.is_finished(root, label, normal, True, catalog):
            continue
        on_stage(f"without {label}")
        outcomes = []
        for seed in root.config.seeds:
            if seed not in videos:
                videos[seed] = read_videos(root, seed, catalog)
            detector, _ = fit_detector(root.config.anomaly, videos[seed], normal, seed)
            outcomes.append(holdout_table.outcome(detector, videos[seed], label, normal))
        holdout_table.add_row(root, label, True, outcomes)
    return holdout_table.read_table(root)


def _table(videos: Videos, scores: Scores, distances: Scores, threshold: float) -> pa.Table:
    """[N rows, schema.ANOMALY], the most unusual first; NaN scores become null and come last."""
    anomalous = pa.array(scores > threshold, mask=np.isnan(scores))
    columns = {
        "video_id": videos.ids,
        "label": videos.labels,
        "split": videos.splits,
        "score": pa.array(scores, from_pandas=True),
        "threshold": np.full(len(scores), threshold),
        "anomalous": anomalous,
        "neighbor_score": pa.array(distances, from_pandas=True),
    }
    order = [("score", "descending"), ("video_id", "ascending")]
    return pa.table(columns, schema=schema.ANOMALY).sort_by(order)


def _markdown(root: Root, scored: Scored, detector: Detector, normal: Sequence[str]) -> str:
    """What made the scores, how many there are, how the other classes stand out, and the most unusual videos."""
    rows = scored.table.to_pylist()
    mark = provenance.mark(root)
    usual = "every class" if scored.autoencoder is None else ", ".join(normal)
    parts = [
        "# Anomaly scores",
        f"{holdout_table.made_by(root)} Normal: {usual}. The autoencoder (seed {root.config.seeds[0]}) learnt from "
        f"{len(detector.normal_train)} normal training videos; its threshold {detector.threshold:.4g} is the "
        f"{root.config.anomaly.quantile:g} quantile of {detector.n_normal_val} normal validation videos' scores. "
        "Training videos score too low: they were learnt from, and each is its own nearest neighbour.",
        "## How many",
        tables.markdown(
            tables.Grid(
                ["split", "videos", "scored", "anomalous", "not scored"], [_counts(rows, s, mark) for s in SPLITS]
            )
        ),
    ]
    if scored.autoencoder is not None and scored.neighbors is not None:
        parts += [
            "## Test videos of the other classes against the normal ones",
            tables.markdown(
                tables.Grid(
                    ["", "others", "normal", "AUROC", "average precision"],
                    [
                        [
                            *(name, each.n_unusual, each.n_usual),
                            *(tables.measured(value, mark) for value in (each.auroc, each.average_precision)),
                        ]
                        for name, each in (
                            ("autoencoder", scored.autoencoder),
                            ("nearest neighbours", scored.neighbors),
                        )
                    ],
                )
            ),
        ]
    ranked = [row for row in rows if row["score"] is not None][:TOP]
    columns = ["video_id", "label", "split", "score", "anomalous", "neighbor_score"]
    ranking = [[i, *row] for i, row in enumerate(marked(ranked, columns, schema.ANOMALY, mark), 1)]
    parts += [
        f"## The {len(ranked)} most unusual",
        tables.markdown(tables.Grid(["rank", *columns], ranking)),
    ]
    if missing := [[row["video_id"], row["split"]] for row in rows if row["score"] is None]:
        parts += [
            "## Not scored",
            f"{len(missing)} videos have no embedding; features/status says why. The first {min(TOP, len(missing))}:",
            tables.markdown(tables.Grid(["video_id", "split"], missing[:TOP])),
        ]
    return "\n\n".join(parts) + "\n"


def _counts(rows: Sequence[Mapping[str, Any]], split: str | None, mark: str) -> list[object]:
    mine = [row for row in rows if row["split"] == split]
    scored = [row for row in mine if row["score"] is not None]
    anomalous = sum(row["anomalous"] for row in scored)
    return [split or "none", len(mine), len(scored), tables.measured(anomalous, mark), len(mine) - len(scored)]
