"""Roots as the recurrent networks leave them, written in a moment: video embeddings that hold the class, and heads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actionrec import schema
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, open_root, record
from actionrec.storage.samples import class_labels
from tests.tiny_features import SETTINGS, Clip, begin_streams, clips
from tests.tiny_models import begin_motion, put_rnns

WIDTH = 16  # 8 units, two directions


def learnt_root(url: Path, videos: Sequence[Clip] | None = None, settings: dict[str, Any] | None = None) -> Root:
    """A catalog, stages begun, seeded untrained networks, and embeddings in which the classes stand apart."""
    videos = clips(classes=6) if videos is None else videos
    root = open_root(str(url), [SETTINGS, settings or {}])
    labels = sorted({clip.label for clip in videos})
    rows = [
        clip._asdict() | {"path": f"/{clip.video_id}", "class_index": labels.index(clip.label), "bytes": 1}
        for clip in videos
    ]
    catalog = pa.Table.from_pylist(rows, schema=schema.CATALOG)
    root.store.put(layout.CATALOG, schema.to_parquet(catalog, "x"))
    begin_streams(root)
    if "motion" in root.config.streams:
        begin_motion(root)
    put_rnns(root, dict.fromkeys(root.config.streams, 6))
    for seed in root.config.seeds:
        put_embeddings(root, videos, seed)
    return root


def put_embeddings(root: Root, videos: Sequence[Clip], seed: int = 0, noise: float = 1.0) -> None:
    """Every stream shifts two of its numbers by the class; a silent clip has no audio."""
    fingerprint = record(root, "embeddings")["fingerprint"]
    labels = class_labels(root.catalog())
    streams = root.config.streams
    columns = {}
    for place, stream in enumerate(streams):
        rng = np.random.default_rng([seed, place])
        centres = rng.normal(size=(len(labels) + 1, WIDTH)) * 2
        vectors = [
            None
            if stream == "audio" and not clip.has_audio
            else (centres[labels.index(clip.label)] + noise * rng.normal(size=WIDTH)).astype(np.float32)
            for clip in videos
        ]
        columns[stream] = pa.array(vectors, pa.list_(pa.float32(), WIDTH))
    table = pa.table(
        {"video_id": [clip.video_id for clip in videos], **columns},
        schema=schema.video_embeddings(dict.fromkeys(streams, WIDTH)),
    )
    key = layout.video_embeddings(root.further(seed))
    root.output.put(key, schema.to_parquet(table, seeded(fingerprint, seed)))
