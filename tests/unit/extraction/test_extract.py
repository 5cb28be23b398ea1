"""What extract refuses before it writes anything, and what it says is left to compute."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.errors import GoneError, InputError
from actionrec.extraction import extract
from actionrec.extraction.part import ExtractionJob
from actionrec.storage import layout, parts, reopening
from actionrec.storage.root import Root, open_root
from actionrec.storage.samples import all_made, made_with
from tests.tiny_features import PART_VIDEOS, clips, make_root

CLIPS = clips()[:12]  # two parts of five and one of two; every third is silent
IDS = [clip.video_id for clip in CLIPS]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    found = make_root(tmp_path, CLIPS)
    parts.plan(found.store, IDS, PART_VIDEOS, "x", {})
    return found


class Asked:
    """What extract says, and which parts and streams it gives to Ray; nothing is computed."""

    def __init__(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said = ""
        self.streams: tuple[str, ...] = ()
        self.parts: list[int] = []
        monkeypatch.setattr(extract, "refuse_needed", lambda *given: None)  # there is no source
        monkeypatch.setattr(extract, "prepare", lambda *given: {})
        monkeypatch.setattr(extract, "begin_streams", lambda *given: all_made(root))
        monkeypatch.setattr(extract, "session", contextlib.nullcontext)
        monkeypatch.setattr(extract, "map_parts", self._map)
        extract.extract(root, on_plan=self._say)

    def _say(self, text: str) -> None:
        self.said = text

    def _map(self, worker: type, job: ExtractionJob, rows: Mapping[int, Any], *given: Any, **more: Any) -> None:
        self.streams, self.parts = job.streams, sorted(rows)


@pytest.mark.parametrize(
    ("gone", "said", "streams", "numbers"),
    [
        ([], "flow, spatial and audio are there", (), []),
        ([("flow", 1)], "flow of 5 videos; spatial and audio are there", ("flow",), [1]),
        ([("flow", part) for part in range(3)], "flow of 12 videos; spatial and audio are there", ("flow",), [0, 1, 2]),
        ([("audio", 0)], "audio of 4 videos; flow and spatial are there", ("audio",), [0]),
        ([("flow", 0), ("spatial", 0)], "flow and spatial of 5 videos; audio is there", ("flow", "spatial"), [0]),
    ],
)
def test_of_a_part_whose_features_are_gone_that_stream_is_computed_and_no_other(
    gone: list[tuple[str, int]],
    said: str,
    streams: tuple[str, ...],
    numbers: list[int],
    root: Root,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream, part in gone:
        root.store.delete(layout.feature(stream, part))
    asked = Asked(root, monkeypatch)
    assert (asked.said, asked.streams, asked.parts) == (said, streams, numbers)
    assert Asked(root, monkeypatch).said == said  # the same command, after one that was killed before it computed


def test_of_a_part_that_is_reopened_what_lies_in_no_file_is_computed(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(root, "spatial", IDS[0])
    reopening.failed(root, ["spatial"])
    assert Asked(root, monkeypatch).said == "spatial of 1 video; flow and audio are there"
    root.store.delete(layout.feature("spatial", 0))
    assert Asked(root, monkeypatch).said == "spatial of 5 videos; flow and audio are there"


def test_what_failed_is_computed_again_with_a_stream_that_it_is_made_from(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(root, "spatial", IDS[0])
    for part in (0, 1):
        root.store.delete(layout.feature("flow", part))
    asked = Asked(root, monkeypatch)
    assert asked.said == "flow of 9 videos, flow and spatial of 1; audio is there"
    assert [parts.marked(root.store, "spatial").keys(), asked.parts] == [{1, 2}, [0, 1]]


def fail(root: Root, stream: str, video_id: str) -> None:
    """As if the video had failed in this stream."""
    key, fingerprint = layout.commit_mark(stream, IDS.index(video_id) // PART_VIDEOS), made_with(root, stream)
    rows = schema.from_parquet(root.store.read(key), schema.STATUS, key).to_pylist()
    rows = [row | ({"status": "failed", "reason": "corrupt"} if row["video_id"] == video_id else {}) for row in rows]
    root.store.put(key, schema.to_parquet(pa.Table.from_pylist(rows, schema=schema.STATUS), fingerprint))


def test_videos_are_counted_in_words() -> None:
    assert extract.told(["flow", "spatial"], {("flow", "spatial"): 1}) == "flow and spatial of 1 video"
    several = {("flow",): 1, ("spatial", "flow"): 1200}
    assert (
        extract.told(["flow", "spatial", "audio"], several)
        == "spatial and flow of 1,200 videos, flow of 1; audio is there"
    )
    assert extract.told(["flow"], {}) == "flow is there"


def test_a_root_to_take_from_that_has_no_name_is_refused_as_a_misspelt_one(tmp_path: Path) -> None:
    for name in ("", str(tmp_path / "typo")):
        with pytest.raises(InputError, match="--reuse"):
            extract.extract(make_root(tmp_path / "root"), reuse=name)


def test_a_source_that_is_gone_is_one_sentence_and_marks_no_video_as_failed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    root.store.delete(layout.commit_mark("audio", 0))
    before = root.store.versions("")
    with pytest.raises(GoneError, match=r"^/nowhere: .* 5 of 36 videos have still to be extracted"):
        extract.extract(open_root(str(tmp_path)))
    assert root.store.versions("") == before
