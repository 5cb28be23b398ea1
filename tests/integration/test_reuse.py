"""`extract --reuse` as it is typed. The other root holds numbers that no network gives, by which one knows them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.extraction.extract import begin_streams
from actionrec.show import console
from actionrec.storage import layout, parts
from actionrec.storage.root import open_root
from actionrec.storage.streams import STREAMS, extracted
from actionrec.storage.weights import prepare
from tests.tiny_roots import actionrec, features, new_root, snapshot, write_clips


def fill(folder: Path, source: Path, ids: list[str]) -> None:
    """Every stream of every video, as if it had been extracted."""
    root = open_root(str(folder))
    streams = extracted(root.config)
    made = begin_streams(root, streams, prepare(root.config, root.store, streams))
    for part, members in parts.plan(root.store, ids, root.config.extract.part_videos, "x", made).items():
        for stream in streams:
            if stream == "flow":
                table = pa.Table.from_pylist([{"video_id": i, "height": 7} for i in members], schema=schema.FLOW)
            else:
                row: dict[str, Any] = {"frame_index": [0], "time_s": [0.0], "embedding": np.full((1, 4), 7, np.float32)}
                table = schema.feature_table(STREAMS[stream].schema(4), [(i, row) for i in members])
            status = [
                {"video_id": i, "stream": stream, "status": "ok", "sha256": hashlib.sha256(data).hexdigest()}
                for i in members
                for data in [(source / i).read_bytes()]
            ]
            root.store.put(layout.feature(stream, part), schema.to_parquet(table, made[stream]))
            mark = pa.Table.from_pylist(status, schema=schema.STATUS)
            root.store.put(layout.commit_mark(stream, part), schema.to_parquet(mark, made[stream]))


def test_all_that_another_root_has_is_taken_and_nothing_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "videos"
    ids = write_clips(source, range(4))
    other, mine = (new_root(tmp_path / name / "root", source) for name in ("other", "mine"))
    fill(other, source, ids)
    before = snapshot(other)
    shown: list[tuple[int, ...]] = []
    with monkeypatch.context() as patched:
        patched.setattr(console.Display, "update", lambda self, *given: shown.append(given))
        assert actionrec("extract", "--root", mine, "--reuse", other) == 0
    assert shown == [(2, 4), (4, 4)]
    said = " ".join("".join(capsys.readouterr()).split())
    for stream in ("flow", "spatial", "audio"):
        assert f"{stream} of 4 videos taken from {other}" in said
    assert set(features(mine, "flow")["height"]) == {7}
    assert sorted(features(mine, "spatial")["video_id"]) == sorted(ids)
    assert snapshot(other) == before
    finished = snapshot(mine)
    assert actionrec("extract", "--root", mine, "--reuse", other) == 0
    assert snapshot(mine) == finished
    assert actionrec("extract", "--root", mine, "--reuse", mine) == 2
