"""What an extraction refuses before it writes anything."""

from pathlib import Path

import pytest

from actionrec.errors import GoneError
from actionrec.extraction.extract import extract
from actionrec.storage import layout
from actionrec.storage.root import open_root
from tests.tiny_features import make_root


def test_a_source_that_is_gone_is_one_sentence_and_marks_no_video_as_failed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    root.store.delete(layout.commit_mark("audio", 0))
    before = root.store.versions("")
    with pytest.raises(GoneError, match=r"^/nowhere: .* 5 of 36 videos have still to be extracted"):
        extract(open_root(str(tmp_path)))
    assert root.store.versions("") == before
