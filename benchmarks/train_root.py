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
from actionrec.storage.streams import STREAMS

CLASSES, STEPS, WIDTH, PAIRS = 10, 10, 1280, 49  # of the demo: 2 s of 25 fps


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
    flow = begin(root, "flow", {})
    made = {"flow": flow, "spatial": begin(root, "spatial", {"frame weights": "none", "flow": flow})}
    ids = [row["video_id"] for row in rows if row["split"] != "test"]
    size = root.config.extract.part_videos
    for part, start in enumerate(range(0, len(ids), size)):
        write_part(root, made, part, ids[start : start + size])
    return root


def write_part(root: Root, made: Mapping[str, str], part: int, ids: Sequence[str]) -> None:
    rng = np.random.default_rng(part)
    places = np.arange(STEPS)
    where = {"frame_index": places.astype(np.int32), "time_s": (places * 0.2).astype(np.float32)}
    frames = [(i, where | {"embedding": rng.normal(size=(STEPS, WIDTH)).astype(np.float32)}) for i in ids]
    flows = [flow_row(root.config.flow, video_id, rng) for video_id in ids]
    tables = {
        "flow": pa.Table.from_pylist(flows, schema=schema.FLOW),
        "spatial": schema.feature_table(STREAMS["spatial"].schema(WIDTH), frames),
    }
    for stream, table in tables.items():
        status = [{"video_id": video_id, "stream": stream, "status": "ok"} for video_id in ids]
        mark = pa.Table.from_pylist(status, schema=schema.STATUS)
        root.store.put(layout.feature(stream, part), schema.to_parquet(table, made[stream]))
        root.store.put(layout.commit_mark(stream, part), schema.to_parquet(mark, made[stream]))


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
