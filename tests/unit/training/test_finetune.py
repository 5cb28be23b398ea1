"""What fine-tuning refuses before it writes anything."""

from pathlib import Path

import pytest

from actionrec.errors import GoneError
from actionrec.storage.root import open_root
from actionrec.training.finetune import train_spatial
from tests.tiny_features import make_root


def test_a_source_that_is_gone_is_one_sentence_and_leaves_no_video_out(tmp_path: Path) -> None:
    before = make_root(tmp_path).store.versions("")
    root = open_root(str(tmp_path), [{"finetune": {"blocks": 1}}], "spatial")
    with pytest.raises(GoneError, match=r"^/nowhere: none of the 36 catalogued videos"):
        train_spatial(root)
    assert root.store.versions("") == before
