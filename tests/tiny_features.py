"""Roots as extract leaves them, written in a moment: small features that hold the class, in parts with commit marks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from actionrec import config, schema
from actionrec.features import flow_codec
from actionrec.storage import layout
from actionrec.storage.root import Root, begin, open_root
from actionrec.storage.streams import STREAMS

WIDTHS = {"spatial": 6, "audio": 4}
HEIGHT, WIDTH = 16, 20
SETTINGS: dict[str, Any] = {
    "data": {"source": "/nowhere"},
    "clip": {"width": 32, "height": 24},
    "flow": {"model": "dis", "stored_width": WIDTH, "stored_height": HEIGHT},
    "frame": {"model": "test_resnet", "weights": "random", "size": 64},
    "audio": {"weights": "random", "pca": False},
    "rnn": {"units": 8, "batch": 8, "max_epochs": 3, "lr": 0.05},
    "motion": {"batch": 8, "max_epochs": 2, "lr": 1e-4},
    "anomaly": {"hidden": 16, "bottleneck": 4, "max_epochs": 3},
    "train": {"checkpoint_s": 0, "threads": 1},
    "extract": {"actors": 1},
}
PART_VIDEOS = 5


class Clip(NamedTuple):
    video_id: str
    label: str
    group: str
    split: str | None
    has_audio: bool


def clips(classes: int = 3, groups: int = 6, clips_per_group: int = 2) -> list[Clip]:
    """Every third clip is silent; of six groups two are for test and one for validation."""
    splits = ["test", "test", "val", *["train"] * (groups - 3)]
    numbered = [(c, g, n) for c in range(classes) for g in range(groups) for n in range(clips_per_group)]
    return [
        Clip(f"c{c}/g{g}_{n}.avi", f"c{c}", f"c{c}_g{g}", splits[g], (i % 3) != 2)
        for i, (c, g, n) in enumerate(numbered)
    ]


def make_root(
    url: Path,
    videos: list[Clip] | None = None,
    settings: Mapping[str, Any] | None = None,
    sequence: Callable[[Clip, str, NDArray[np.float32]], NDArray[np.float32]] = lambda clip, stream, found: found,
) -> Root:
    """A catalog and committed parts; `sequence` may change what is stored of a clip's stream."""
    videos = clips() if videos is None else videos
    root = open_root(str(url), [SETTINGS, settings or {}])
    labels = sorted({clip.label for clip in videos})
    rows = [
        {
            "video_id": clip.video_id,
            "path": f"/nowhere/{clip.video_id}",
            "label": clip.label,
            "class_index": labels.index(clip.label),
            "group": clip.group,
            "split": clip.split,
            "bytes": 1,
        }
        for clip in videos
    ]
    root.store.put(layout.CATALOG, schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.CATALOG), "x"))
    for stream, fingerprint in begin_streams(root).items():
        write_stream(root, stream, fingerprint, videos, sequence)
    return root


def write_stream(
    root: Root,
    stream: str,
    fingerprint: str,
    videos: list[Clip],
    sequence: Callable[[Clip, str, NDArray[np.float32]], NDArray[np.float32]] = lambda clip, stream, found: found,
) -> None:
    """Every part of a stream that has begun."""
    for part, start in enumerate(range(0, len(videos), PART_VIDEOS)):
        _write_part(root, stream, fingerprint, part, videos[start : start + PART_VIDEOS], sequence)


def begin_streams(root: Root) -> dict[str, str]:
    """Begin every stream that is made from a decoded video; its fingerprint, stream by stream."""
    made: dict[str, str] = {}
    for stream in (name for name, row in STREAMS.items() if row.decoded):
        above = {name: made[name] for name in STREAMS[stream].needs(root.config) if name in made}
        made[stream] = begin(root, stream, {f"{stream} weights": stream} | above)
    return made


def settings_file(folder: Path, settings: Mapping[str, Any]) -> Path:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return path


def tiny_config() -> config.Config:
    return config.load([SETTINGS])


def flow_row(clip: Clip, pairs: int = 14) -> dict[str, Any]:
    """Everything moves to the right in class 0, down in class 1, and so on, beside some noise."""
    rng = np.random.default_rng(sum(map(ord, clip.video_id)))
    flow_px = rng.normal(0, 0.3, (pairs, HEIGHT, WIDTH, 2)).astype(np.float32)
    turn = int(clip.label[1:]) * np.pi / 3
    half = slice(0, WIDTH // 2)  # half of the picture: the mean is taken out
    flow_px[:, :, half] += 4 * np.array([np.cos(turn), np.sin(turn)], np.float32)
    encoded = flow_codec.encode(flow_px, bound_px=20.0, quality=90, stored_width=WIDTH, stored_height=HEIGHT)
    return {
        "video_id": clip.video_id,
        "time_s": [0.04 * (i + 1) for i in range(pairs)],
        "motion_px": [4.0] * pairs,
        "flow": encoded,
        "bound_px": 20.0,
        "height": HEIGHT,
        "width": WIDTH,
        "codec": flow_codec.CODEC,
    }


def sequence_of(clip: Clip, stream: str) -> NDArray[np.float32]:
    """1 to 5 steps; the class is a shift of one number."""
    rng = np.random.default_rng([len(stream), *clip.video_id.encode()])
    found = rng.normal(size=(int(rng.integers(1, 6)), WIDTHS[stream])).astype(np.float32)
    found[:, int(clip.label[1:]) % WIDTHS[stream]] += 3
    return found


def _write_part(root: Root, stream: str, fingerprint: str, part: int, videos: list[Clip], sequence: Any) -> None:
    having = [clip for clip in videos if stream != "audio" or clip.has_audio]
    if stream == "flow":
        table = pa.Table.from_pylist([flow_row(clip) for clip in videos], schema=schema.FLOW)
    else:
        rows = [(clip.video_id, _row(sequence(clip, stream, sequence_of(clip, stream)))) for clip in having]
        width = rows[0][1]["embedding"].shape[1] if rows else WIDTHS[stream]
        table = schema.feature_table(STREAMS[stream].schema(width), rows)
    root.store.put(layout.feature(stream, part), schema.to_parquet(table, fingerprint))
    status = [
        {"video_id": clip.video_id, "stream": stream, "status": "ok" if clip in having else "no_audio"}
        for clip in videos
    ]
    table = pa.Table.from_pylist(status, schema=schema.STATUS)
    root.store.put(layout.commit_mark(stream, part), schema.to_parquet(table, fingerprint))


def _row(embedding: NDArray[np.float32]) -> dict[str, Any]:
    places = np.arange(len(embedding))
    times_s = (places * 0.04).astype(np.float32)
    return {"frame_index": places.astype(np.int32), "time_s": times_s, "embedding": embedding}
