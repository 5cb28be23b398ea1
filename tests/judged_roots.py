"""Roots of as many classes as one likes, judged in a moment: scores are made up, the tables are what they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from actionrec import schema
from actionrec.fusion.tables import SubsetScores, tables_of
from actionrec.learning import fusion
from actionrec.show.evaluation import render
from actionrec.storage import layout, models, provenance
from actionrec.storage.embeddings import split_embeddings
from actionrec.storage.root import Root, begin, made_from, record
from actionrec.storage.samples import class_labels
from tests.learnt_roots import learnt_root
from tests.tiny_features import Clip, clips

RIGHT = 0.8  # of the videos are told right, but for chance


@dataclass(frozen=True)
class Guesser:
    """As much of a fused model as tables ask for: it says of each video what was made up for it."""

    streams: tuple[str, ...]
    labels: list[str]
    refitted: bool
    scores_of: Mapping[bytes, NDArray[np.float64]]  # a video's own embedding -> [C]

    def decision(self, video: Mapping[str, Any]) -> NDArray[np.float64]:
        return self.scores_of[_key(video[self.streams[0]])]


def judged_root(
    url: Path,
    classes: int,
    names: Mapping[str, str] | None = None,
    *,
    videos: Sequence[Clip] | None = None,
    files: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
    right: float = RIGHT,
) -> Root:
    """`names` of classes c0, c1 and so on; `files`: the videos' pictures, in turn (none: there are no files)."""
    videos = clips(classes=classes) if videos is None else videos
    videos = [clip._replace(label=(names or {}).get(clip.label, clip.label)) for clip in videos]
    source = {"data": {"source": str(files[0].parent)}} if files else {}
    root = learnt_root(url, videos, {**source, **(settings or {})})
    if files:
        _point_to(root, files)
    _judge(root, right)
    _table2(root)
    _anomaly(root)
    root.save_config()
    return root


def _point_to(root: Root, files: Sequence[Path]) -> None:
    table = root.catalog()
    paths = pa.array([str(files[place % len(files)]) for place in range(table.num_rows)], pa.string())
    table = table.set_column(table.schema.get_field_index("path"), "path", paths)
    root.store.put(layout.CATALOG, schema.to_parquet(table, "x"))


def _judge(root: Root, right: float) -> None:
    sides, streams, labels = (
        split_embeddings(root, root.config.seeds[0]),
        root.config.streams,
        class_labels(root.catalog()),
    )
    rng = np.random.default_rng(0)
    scores_of: dict[bytes, NDArray[np.float64]] = {}
    scored = {split: _guesses(rng, side.target, len(labels), right) for split, side in sides.items()}
    for split, side in sides.items():
        vectors = side.embeddings.vectors[streams[0]]
        scores_of |= {_key(vector): scores for vector, scores in zip(vectors, scored[split], strict=True)}
    begin(root, "fusion", made_from(root, "embeddings"))
    fingerprint = models.seeded(record(root, "fusion")["fingerprint"], root.config.seeds[0])
    described = {"widths": dict.fromkeys(streams, 16)}
    tensors = {"weight": torch.zeros(1)}
    models.save(
        root.output, layout.model(layout.FUSION), tensors, fingerprint=fingerprint, config=described, labels=labels
    )
    begin(root, "evaluate", made_from(root, "fusion"))
    guesser = Guesser(streams, labels, False, scores_of)
    rows = [
        SubsetScores(subset, method, root.config.seeds[0], scored["val"], scored["test"])
        for subset in fusion.subsets(streams)
        for method in ("softmax", "svm", *(("average",) if len(subset) > 1 else ()))
    ]
    for name, table in tables_of(root, guesser, rows, sides).items():  # type: ignore[arg-type]  # as much as it asks for
        _put(root, name, table)


def _guesses(rng: np.random.Generator, target_N: NDArray[np.int64], classes: int, right: float) -> NDArray[np.float64]:
    """[N, C]: some videos are told right, the others are taken for one of two other classes."""
    scores = rng.normal(-1.0, 0.1, (len(target_N), classes))
    wrong_N = rng.random(len(target_N)) >= right
    said_N = np.where(wrong_N, (target_N + rng.integers(1, 3, len(target_N))) % classes, target_N)
    scores[np.arange(len(target_N)), said_N] += rng.uniform(1.0, 2.0, len(target_N))
    return scores


def _table2(root: Root) -> None:
    from actionrec.table2.systems import published

    table = schema.from_parquet(root.output.read(layout.table("ablation")), schema.ABLATION, "ablation")
    model = next(row for row in table.to_pylist() if provenance.reading(root).is_model(row))
    rows: list[dict[str, Any]] = []
    for each in published():
        paper: dict[str, Any] = {"system": each.system, "name": each.name, "type": each.type}
        paper |= {"paper_streams": each.streams, "pretraining": each.pretraining, "paper_top1": each.paper_top1}
        figures = {name: model[name] for name in schema.TABLE2.names if name in model}
        is_run = each.name in ("proposed", "two_stream")
        difference = {"difference": -0.1, "difference_low": -0.2, "difference_high": 0.05}
        rows.append(
            paper
            | (figures | {"chosen": True, "alone": False} if is_run else {"status": "not run"})
            | (difference if each.name == "two_stream" else {})
        )
    _put(root, "table2", pa.Table.from_pylist(rows, schema=schema.TABLE2))


def _anomaly(root: Root) -> None:
    rng = np.random.default_rng(1)
    catalog = root.catalog()
    scores = np.sort(rng.gamma(4.0, 0.1, catalog.num_rows))[::-1]
    threshold = float(np.quantile(scores, 0.97))
    columns = (catalog[name].to_pylist() for name in ("video_id", "label", "split"))
    rows = [
        {"video_id": video_id, "label": label, "split": split, "score": float(score), "threshold": threshold}
        | {"anomalous": bool(score > threshold), "neighbor_score": 1.0}
        for (video_id, label, split), score in zip(zip(*columns, strict=True), scores, strict=True)
    ]
    _put(root, "anomaly", pa.Table.from_pylist(rows, schema=schema.ANOMALY))


def _put(root: Root, name: str, table: pa.Table) -> None:
    root.output.put(layout.table(name), schema.to_parquet(table, "x"))
    if text := render(name, table, provenance.paragraph(root), provenance.reading(root)):
        root.output.put(layout.table(name, "md"), text.encode())


def _key(vector: Any) -> bytes:
    return np.asarray(vector, np.float32).tobytes()
