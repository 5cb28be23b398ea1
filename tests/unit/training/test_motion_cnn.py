"""What the training of the motion CNN refuses, and that its advice works when it is followed to the letter."""

import re
import shlex
from pathlib import Path

import pytest

from actionrec import verbs
from actionrec.errors import InputError
from actionrec.storage.root import Root
from actionrec.storage.streams import wanted
from actionrec.training.motion_cnn import train_motion
from tests.tiny_features import make_root
from tests.tiny_models import put_rnns
from tests.tiny_roots import actionrec


@pytest.mark.parametrize("is_embedded", [False, True])
def test_where_no_stream_wants_it_the_commands_that_are_named_make_one_that_does(
    is_embedded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path, settings={"streams": ["spatial", "audio"]})
    root.save_config()
    if is_embedded:
        put_rnns(root, {"spatial": 6, "audio": 4})
    with pytest.raises(InputError, match="no use for a motion CNN") as refused:
        train_motion(root)
    asked: list[Root] = []

    def made(opened: Root, *given: object) -> None:
        asked.append(opened)
        opened.save_config()  # as a stage does that begins

    for verb in ("extract", "run", "motion"):
        monkeypatch.setattr(verbs, verb, made)
    commands = re.findall("`actionrec ([^`]+)`", str(refused.value))
    assert commands and [actionrec(*shlex.split(command)) for command in commands] == [0] * len(commands)
    assert [wanted(each.config) for each in asked] == [("flow", "spatial", "motion", "audio")] * len(commands)


def test_imported_features_have_none(tmp_path: Path) -> None:
    root = make_root(tmp_path, settings={"streams": ["spatial"], "data": {"source": "/f", "dataset": "features"}})
    with pytest.raises(InputError, match="its features were imported from /f"):
        train_motion(root)
