"""Small sources and roots for tests that run the whole extraction, and what must hold of a root whatever happened.

Every network is the smallest that there is. VGGish is not small (289 MB), so random weights are made once a process
and hard-linked into each root: their keys follow from the configuration, so an extraction finds them there.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from actionrec import config
from actionrec.cli import main
from actionrec.config import Config
from actionrec.errors import Reason
from actionrec.media.encode import encode
from actionrec.storage import streams
from actionrec.storage.local_store import LocalStore
from actionrec.storage.weights import WeightsRef, prepare
from tests.media_files import RATE, moving, tone

TINY: dict[str, Any] = {
    "clip": {"width": 160, "height": 120},
    "flow": {"model": "dis", "stored_width": 40, "stored_height": 30},
    "frame": {"model": "test_resnet", "weights": "random", "size": 64},
    "audio": {"weights": "random", "pca": False},
    "extract": {"part_videos": 2, "actors": 2},
}
# The same, and the smallest trainings: for whole runs.
SMALL: dict[str, Any] = {
    **TINY,
    "rnn": {"units": 8, "batch": 8, "max_epochs": 2},
    "motion": {"batch": 8, "max_epochs": 1, "lr": 1e-4},
    "anomaly": {"hidden": 16, "bottleneck": 4, "max_epochs": 2},
    "fusion": {"bootstrap": 50},
    "tune": {"in_run": True, "rows": ["LSTM 256"], "l2": [0.1]},
    "train": {"threads": 1},
}
STREAMS = tuple(name for name, row in streams.STREAMS.items() if row.decoded)
COLUMNS = {
    "spatial": ("frame_index", "time_s", "embedding"),
    "flow": ("time_s", "motion_px", "flow", "bound_px", "height", "width", "codec"),
    "audio": ("time_s", "embedding"),
}
Values = dict[str, dict[str, bytes]]  # stream -> video_id -> a digest of the row


def tiny_config() -> Config:
    return config.load([TINY])


@functools.cache
def weights() -> tuple[str, Mapping[str, WeightsRef]]:
    """A folder that is removed at exit, with TINY's weights/ below it, and what `prepare` says of them."""
    folder = tempfile.mkdtemp(prefix="actionrec-weights-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, prepare(tiny_config(), LocalStore(folder), STREAMS)


def link_weights(root: Path) -> None:
    """Give a root the weights. Nothing ever writes into a file under a root, so links are as good as copies."""
    (root / "weights").mkdir(parents=True, exist_ok=True)
    for path in Path(weights()[0], "weights").iterdir():
        with contextlib.suppress(FileExistsError):
            os.link(path, root / "weights" / path.name)


def tiny_file(folder: Path) -> Path:
    """TINY as a file for --config."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path


@functools.cache
def clip(number: int) -> bytes:
    """0.5 to 1 s of 160x120, no two alike; every third has no sound, every other is an AVI."""
    frames = moving(13 + number % 13, 120, 160)
    frames[..., number % 3] //= 1 + number % 5
    sound = None if number % 3 == 2 else tone(len(frames) / 25, amplitude=0.05 + 0.01 * (number % 20))
    if number % 2:
        return encode("mp4", frames, RATE, audio=sound)
    return encode("avi", frames, Fraction(25), video_codec="mpeg4", audio=sound, audio_codec="libmp3lame")


def clip_name(number: int) -> str:
    return f"{'ab'[number % 2]}/{number:03d}.{'mp4' if number % 2 else 'avi'}"


def write_clips(source: Path, numbers: Sequence[int]) -> list[str]:
    """The clips in their class folders; their ids."""
    for number in numbers:
        path = source / clip_name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip(number))
    return [clip_name(number) for number in numbers]


def actionrec(*arguments: object) -> int:
    """Run a command in this process; its exit code."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return int(ended.value.code or 0)


def new_root(root: Path, source: Path | str, *more: object) -> Path:
    """A root with weights, TINY's configuration and a catalog."""
    link_weights(root)
    assert actionrec("catalog", source, "--root", root, "--config", tiny_file(root.parent), *more) == 0
    return root


def status(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "features/status")


def outcomes(root: Path) -> dict[str, dict[str, str]]:
    """video_id -> stream -> ok, no_audio, or the reason why it failed."""
    found: dict[str, dict[str, str]] = {}
    for row in status(root).itertuples():
        found.setdefault(str(row.video_id), {})[str(row.stream)] = str(
            row.reason if row.status == "failed" else row.status
        )
    return found


def features(root: Path, stream: str) -> pd.DataFrame:
    return pd.read_parquet(root / "features" / stream)


def values(root: Path) -> Values:
    """Every feature row as a digest over all its columns, floats by their bits."""
    return {
        stream: {row["video_id"]: _digest([row[name] for name in COLUMNS[stream]]) for row in rows}
        for stream in STREAMS
        for rows in [features(root, stream).to_dict("records")]
    }


def _digest(columns: Sequence[Any]) -> bytes:
    sha = hashlib.sha256()
    for column in columns:
        parts = column if isinstance(column, np.ndarray) and column.dtype == object else [column]
        for part in parts:
            sha.update(part if isinstance(part, bytes) else str(part).encode() if isinstance(part, str) else b"")
            if not isinstance(part, bytes | str):
                sha.update(np.ascontiguousarray(part).tobytes())
    return sha.digest()


def assert_equal_values(mine: Path, reference: Values, ids: Sequence[str]) -> None:
    """P5: these videos have the reference's values, to the bit."""
    found = values(mine)
    for stream in STREAMS:
        expected = {video_id: reference[stream][video_id] for video_id in ids if video_id in reference[stream]}
        assert {video_id: found[stream].get(video_id) for video_id in expected} == expected, stream
        assert not (found[stream].keys() & set(ids)) - expected.keys(), stream


def assert_accounted(root: Path, ids: Sequence[str]) -> None:
    """P1 and P2, as somebody sees them who has duckdb and no Ray."""
    rows = f"read_parquet('{root}/features/status/*.parquet')"
    pairs = duckdb.sql(f"select video_id, stream, status, reason from {rows}").fetchall()
    assert sorted((row[0], row[1]) for row in pairs) == sorted((video_id, s) for video_id in ids for s in STREAMS)
    for video_id, stream, state, reason in pairs:
        assert state in ("ok", "failed", "no_audio"), video_id
        without_reason = {"ok": {None}, "no_audio": {None, Reason.NO_DECODER}}
        assert reason in without_reason.get(state, set(Reason)), video_id
        assert state != "no_audio" or stream == "audio"
    for stream in STREAMS:
        table = f"read_parquet('{root}/features/{stream}/*.parquet')"
        embedded = [row[0] for row in duckdb.sql(f"select video_id from {table}").fetchall()]
        assert sorted(embedded) == sorted(row[0] for row in pairs if row[1] == stream and row[2] == "ok"), stream


class Stamp(NamedTuple):
    mtime_ns: int
    inode: int
    sha256: str


def snapshot(folder: Path) -> dict[str, Stamp]:
    """Every file below a folder but the weights (links): when it was written, and what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("weights/"):
            state = path.stat()
            found[name] = Stamp(state.st_mtime_ns, state.st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def committed_files(root: Path) -> dict[str, Stamp]:
    """The files of committed parts, marks included, as they stand now."""
    marks = {tuple(path.name.split("-")) for path in (root / "features/status").glob("*.parquet")}
    committed = {
        name
        for stream, part in marks
        for name in (f"features/{stream}/part-{part}", f"features/status/{stream}-{part}")
    }
    return {name: stamp for name, stamp in snapshot(root).items() if name in committed}


def videos_of_part(root: Path, part: int) -> list[str]:
    plan = pd.read_parquet(root / "features/plan")
    return list(plan.loc[plan["part"] == part, "video_id"])
