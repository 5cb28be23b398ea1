"""The tables of an evaluation, from the scores of every subset of streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actionrec import schema
from actionrec.learning import metrics
from actionrec.learning.fusion import FusedModel
from actionrec.learning.metrics import Classes, Scores
from actionrec.show.evaluation import REFITTED
from actionrec.storage.embeddings import SplitEmbeddings, embeddings_of, read_embeddings
from actionrec.storage.root import Root

TOP = 5


@dataclass(frozen=True)
class SubsetScores:
    """A subset of streams under one classifier: the scores of one seed on validation and test."""

    streams: tuple[str, ...]
    method: str
    seed: int
    val: Scores | None  # None where the model was fitted on validation too
    test: Scores


def tables_of(
    root: Root, fused: FusedModel, scored: Sequence[SubsetScores], sides: dict[str, SplitEmbeddings]
) -> dict[str, pa.Table]:
    """Every table of the stage, by name."""
    ablation = _ablation(root, scored, sides)
    method = REFITTED if fused.refitted else "svm"
    own = next(each for each in scored if each.streams == fused.streams and each.method == method)
    confusion = metrics.confusion(own.test, sides["test"].target)
    return {
        "predictions": _predictions(root, fused),
        "classes": _classes(fused.labels, confusion, sides["test"].target),
        "confusion": _confusion(fused.labels, confusion),
        "ablation": pa.Table.from_pylist(ablation, schema=schema.ABLATION),
    }


def _ablation(root: Root, scored: Sequence[SubsetScores], sides: dict[str, SplitEmbeddings]) -> list[dict[str, Any]]:
    rows: dict[tuple[tuple[str, ...], str], list[SubsetScores]] = {}
    for each in scored:
        rows.setdefault((each.streams, each.method), []).append(each)
    target_N, groups = sides["test"].target, sides["test"].groups
    majority = float(np.bincount(target_N).max() / len(target_N))
    table: list[dict[str, Any]] = [
        {"streams": list(streams), "method": method, "majority": majority, "seeds": [each.seed for each in of_seeds]}
        | validation([each.val for each in of_seeds], sides["val"].target)
        | figures(root, [each.test for each in of_seeds], target_N, groups)
        for (streams, method), of_seeds in rows.items()
    ]
    best = int(np.argmax([-1.0 if row["val_top1"] is None else row["val_top1"] for row in table]))
    return [row | {"best_on_validation": place == best} for place, row in enumerate(table)]


def validation(of_seeds: Sequence[Scores | None], target_N: Classes) -> dict[str, Any]:
    """val_top1 with its deviation, of each seed's scores of the validation videos; None where it was fitted on them."""
    return _accuracy("val_top1", [None if each is None else metrics.top_k(each, target_N, 1) for each in of_seeds])


def figures(root: Root, of_seeds: Sequence[Scores], target_N: Classes, groups: Sequence[str]) -> dict[str, Any]:
    """n_test, n_judged, top1 and top5 with their deviation over seeds and their interval over groups.

    `of_seeds` are each seed's scores of the test videos.
    """
    found: dict[str, Any] = {"n_test": len(target_N), "n_judged": int((~np.isnan(of_seeds[0]).any(axis=1)).sum())}
    for name, k in (("top1", 1), (f"top{TOP}", TOP)):
        values = [metrics.top_k(each, target_N, k) for each in of_seeds]
        found |= _accuracy(name, values)
        interval = metrics.interval(hits(of_seeds, target_N, k), groups, root.config.fusion.bootstrap, root.config.seed)
        low, high = interval if interval and values[0] is not None else (None, None)
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def hits(of_seeds: Sequence[Scores], target_N: Classes, k: int) -> NDArray[np.float64]:
    """The share of seeds for which a video's class is among the k best, [N]."""
    found: NDArray[np.float64] = np.mean([metrics.ranks(each, target_N) < k for each in of_seeds], axis=0)
    return found


def _accuracy(name: str, values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean, deviation = metrics.mean_sd(known) if known else (None, None)
    return {name: mean, f"{name}_sd": deviation}


def _classes(labels: Sequence[str], confusion: NDArray[np.int64], target: NDArray[np.int64]) -> pa.Table:
    """Per class: how many, how many right, and which class it is taken for most often."""
    videos, right = metrics.per_class(confusion, target)
    rows = []
    for place, label in enumerate(labels):
        wrong = confusion[place].copy()
        wrong[place] = 0
        mistaken = int(wrong.argmax())
        rows.append(
            {
                "label": label,
                "n_test": int(videos[place]),
                "top1": float(right[place] / videos[place]) if videos[place] else None,
                "mistaken_for": labels[mistaken] if wrong[mistaken] else None,
                "mistaken": int(wrong[mistaken]),
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.CLASSES)


def _confusion(labels: Sequence[str], confusion: NDArray[np.int64]) -> pa.Table:
    rows = [
        {"label": labels[true], "predicted": labels[said], "videos": int(confusion[true, said])}
        for true, said in np.argwhere(confusion)
    ]
    return pa.Table.from_pylist(rows, schema=schema.CONFUSION)


def _predictions(root: Root, fused: FusedModel) -> pa.Table:
    """The first seed's fused model on every catalogued video; null where a video has nothing to judge it by."""
    catalog = root.catalog()
    embeddings = embeddings_of(read_embeddings(root, root.config.seeds[0]), root.config.streams)
    columns = (catalog[name].to_pylist() for name in ("video_id", "split", "label"))
    known = {video_id: (split, label) for video_id, split, label in zip(*columns, strict=True)}
    rows = []
    for place, video_id in enumerate(embeddings.video_ids):
        scores = fused.decision(embeddings.video(place))
        split, label = known[video_id]
        row: dict[str, Any] = {"video_id": video_id, "split": split, "label": label}
        if scores is not None:
            best = metrics.best(scores, TOP)
            row |= {"classes": [fused.labels[i] for i in best], "scores": [float(scores[i]) for i in best]}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=schema.PREDICTIONS)
