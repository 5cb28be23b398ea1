"""What a verb says of its work is true of what then lies under the root."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from actionrec import verbs
from actionrec.storage import layout
from actionrec.storage.root import Root
from actionrec.training import rnn
from tests.tiny_features import WIDTHS, make_root
from tests.tiny_models import put_rnn


def test_video_embeddings_are_named_where_they_were_made_and_else_what_lacks_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(root: Root, specs: Sequence[rnn.RnnSpec], **more: Any) -> list[Any]:
        for stream in {spec.loader.stream for spec in specs}:
            put_rnn(root, stream, WIDTHS[stream])
        return []

    monkeypatch.setattr(rnn, "train", train)
    monkeypatch.setattr(rnn, "embed_videos", lambda root, *_, **more: root.store.put(layout.video_embeddings(), b""))
    root = make_root(tmp_path, settings={"streams": ["spatial", "audio"], "seeds": [0, 1]})
    for stream, said in (("spatial", "no network yet: audio;"), ("audio", layout.video_embeddings())):
        verbs.rnn(root, [stream], verbose=False)
        text = " ".join(capsys.readouterr().out.split())
        assert said in text
        assert (layout.video_embeddings() in text) == root.store.exists(layout.video_embeddings())
