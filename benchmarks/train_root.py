"""A root as extract leaves it, of the demo's sizes, for benchmarks of training: nothing is decoded for it."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from actionrec import config, schema
from actionrec.features import flow_codec
from actionrec.storage import layout
from actionrec.storage.root import Root, begin, open_root

CLASSES, STEPS, WIDTH, PAIRS = 10, 10, 1536, 49  # of the demo: 2 s of 25 fps


def make_root(folder: Path, epochs: Mapping[str, int], counts: Mapping[str, int]) -> Root:
    """A catalog and committed parts. Test videos are catalogued only, for without them nothing may be trained."""
    limits = {name: {"max_epochs": count, "stop_epochs": count} for name, count in epochs.items()}
    root = open_root(str(folder), [config.read_layer("demo"), limits, {"streams": ["spatial"]}])
    rows: list[dict[str, Any]] = [
        {
            "video_id": f"{split}/{i:04d}.avi",
            "path": f"/nowhere/{split}/{i:04d}.avi",
            "label": f"c{i % CLASSES}",
            "class_index": i % CLASSES,
            "group": f"{split}{i}",
            "split": split,
        }
        for split, count in counts.items()
        for i in range(count)
    ]
    root.store.put(layout.CATALOG, schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.CATALOG), "x"))
    fingerprint = begin(root, "extract", {"frame": "none", "audio": "none"})
    ids = [row["video_id"] for row in rows if row["split"] != "test"]
    size = root.config.extract.part_videos
    for part, start in enumerate(range(0, len(ids), size)):
        write_part(root, fingerprint, part, ids[start : start + size])
    return root


def write_part(root: Root, fingerprint: str, part: int, ids: Sequence[str]) -> None:
    rng = np.random.default_rng(part)

    def put(key: str, table: pa.Table) -> None:
        root.store.put(key, schema.to_parquet(table, fingerprint))

    places = np.arange(STEPS)
    where = {"frame_index": places.astype(np.int32), "time_s": (places * 0.2).astype(np.float32)}
    frames = [(i, where | {"embedding": rng.normal(size=(STEPS, WIDTH)).astype(np.float32)}) for i in ids]
    put(layout.feature("spatial", part), schema.embedding_table("spatial", WIDTH, frames))
    put(layout.feature("audio", part), schema.embedding_table("audio", 1, []))  # silent videos all
    flows = [flow_row(root.config.flow, video_id, rng) for video_id in ids]
    put(layout.feature("flow", part), pa.Table.from_pylist(flows, schema=schema.FLOW))
    status = [
        {"video_id": video_id, "stream": stream, "status": "no_audio" if stream == "audio" else "ok"}
        for video_id in ids
        for stream in layout.EXTRACT_STREAMS
    ]
    put(layout.commit_mark(part), pa.Table.from_pylist(status, schema=schema.STATUS))


def flow_row(flow: config.Flow, video_id: str, rng: np.random.Generator) -> dict[str, Any]:
    """Smooth noise of a few pixels: its JPEGs are about as large as those of real flow of this size."""
    size = (flow.stored_width, flow.stored_height)
    coarse = rng.normal(0, 3, (PAIRS, 6, 8, 2)).astype(np.float32)
    flow_px = np.stack([cv2.resize(pair, size, interpolation=cv2.INTER_LINEAR) for pair in coarse])
    encoded = flow_codec.encode(
        flow_px,
        bound_px=flow.bound_px,
        quality=flow.jpeg_quality,
        stored_width=flow.stored_width,
        stored_height=flow.stored_height,
    )
    return {
        "video_id": video_id,
        "time_s": [0.04 * (i + 1) for i in range(PAIRS)],
        "motion_px": [3.0] * PAIRS,
        "flow": encoded,
        "bound_px": flow.bound_px,
        "height": flow.stored_height,
        "width": flow.stored_width,
        "codec": flow_codec.CODEC,
    }


def flow_bytes(flow: config.Flow) -> float:
    """Mean size of a stored pair."""
    return statistics.mean(len(pair) for pair in flow_row(flow, "", np.random.default_rng(0))["flow"])
