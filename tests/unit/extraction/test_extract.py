"""What extract refuses before it begins, and what it says is left to compute."""

from pathlib import Path

import pytest

from actionrec.errors import GoneError, InputError
from actionrec.extraction.extract import extract, told
from actionrec.storage import layout
from actionrec.storage.root import open_root
from tests.tiny_features import make_root


def test_videos_are_counted_in_words() -> None:
    assert told(["flow", "spatial"], {("flow", "spatial"): 1}) == "flow and spatial of 1 video"
    several = {("flow",): 1, ("spatial", "flow"): 1200}
    assert told(["flow", "spatial", "audio"], several) == "spatial and flow of 1,200 videos, flow of 1; audio is there"
    assert told(["flow"], {}) == "flow is there"


def test_a_root_to_take_from_that_has_no_name_is_refused_as_a_misspelt_one(tmp_path: Path) -> None:
    for name in ("", str(tmp_path / "typo")):
        with pytest.raises(InputError, match="--reuse"):
            extract(make_root(tmp_path / "root"), reuse=name)


def test_a_source_that_is_gone_is_one_sentence_and_marks_no_video_as_failed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    root.store.delete(layout.commit_mark("audio", 0))
    before = root.store.versions("")
    with pytest.raises(GoneError, match=r"^/nowhere: .* 5 of 36 videos have still to be extracted"):
        extract(open_root(str(tmp_path)))
    assert root.store.versions("") == before
