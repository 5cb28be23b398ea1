"""What the training of recurrent networks refuses before it begins."""

import re
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.root import open_root
from actionrec.training import rnn
from actionrec.training.rnn import train_rnn
from tests.tiny_features import make_root
from tests.tiny_models import put_rnns

STREAMS = {"streams": ["spatial", "audio"]}


@pytest.mark.parametrize(
    ("replace", "told"),
    [
        (["rnn-audio"], "--replace rnn-audio: --stream leaves audio out; add --stream audio"),
        (["rnn-spatial", "rnn-audio"], "--replace rnn-audio"),
        (["embeddings"], "--replace embeddings: they are made once every network is there, and rnn-audio is not"),
    ],
)
def test_a_replace_that_the_chosen_streams_leave_without_effect_is_refused(
    tmp_path: Path, replace: list[str], told: str
) -> None:
    before = make_root(tmp_path, settings=STREAMS).store.versions("")
    root = open_root(str(tmp_path), [STREAMS], replace)
    with pytest.raises(InputError, match=re.escape(told)):
        train_rnn(root, ["spatial"])
    assert root.store.versions("") == before


@pytest.mark.parametrize("replace", ["rnn", "rnn-spatial", "embeddings"])
def test_a_replace_of_what_is_made_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: str
) -> None:
    root = make_root(tmp_path, settings=STREAMS)
    put_rnns(root, {"spatial": 6, "audio": 4})
    root.store.put(layout.video_embeddings(), b"made before")
    monkeypatch.setattr(rnn, "train", lambda *given, **more: [])
    monkeypatch.setattr(rnn, "embed_videos", lambda *given, **more: None)
    train_rnn(open_root(str(tmp_path), [STREAMS], replace), ["spatial"])
    assert not root.store.exists(layout.video_embeddings())
    assert root.begun("rnn-audio")
