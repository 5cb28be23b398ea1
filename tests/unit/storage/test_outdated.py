"""What was made with other settings: how to keep it is said before how to delete it, and holds when it is typed."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from actionrec import schema
from actionrec.config import set_layer
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.root import Root, begin, open_root

RANDOM = {"frame": {"weights": "random"}, "audio": {"weights": "random", "pca": False}, "flow": {"model": "dis"}}


def made(folder: Path, *stages: str, **settings: Any) -> None:
    """A root with a catalog and these stages."""
    root = open_root(str(folder), [RANDOM, {"data": {"source": "/videos"}}, settings])
    root.store.put(layout.CATALOG, schema.to_parquet(schema.CATALOG.empty_table(), "x"))
    for stage in stages:
        begin(root, stage, {})


def typed(folder: Path, *assignments: str, begun: str = "", replace: Sequence[str] = ()) -> Root:
    """A command with these --set that then begins `begun`."""
    root = open_root(str(folder), [set_layer(assignments)], replace)
    if begun:
        begin(root, begun, {})
    return root


def options(text: str) -> list[str]:
    """What is to be typed after each --set."""
    words = shlex.split(text)
    return [words[place + 1].rstrip(";,") for place, word in enumerate(words) if word == "--set"]


@pytest.mark.parametrize(
    "changes",
    [
        ["sampling.method=uniform"],
        ["frame.size=64", "clip.max_s=36.0"],
        ["sampling.method=uniform", "sampling.segment_s=3", "frame.model=test_resnet"],
        ["frame.weights=pretrained"],
    ],
)
def test_a_stage_that_lay_unused_is_used_again_as_the_refusal_says(changes: list[str], tmp_path: Path) -> None:
    made(tmp_path, "flow", "spatial", "audio", sampling={"segment_s": 2.0}, seed=7)
    typed(tmp_path, "streams=[audio]", *changes, begun="audio")
    again = "streams=[spatial, audio]"
    with pytest.raises(InputError, match=r"stage spatial .*; say --set .*stays as it is; or use .*--replace") as caught:
        typed(tmp_path, again)
    told = options(str(caught.value).partition("; say ")[2].partition(", and it")[0])
    assert typed(tmp_path, again, *told, begun="spatial")


def test_what_this_command_alone_has_changed_is_to_be_left_out(tmp_path: Path) -> None:
    made(tmp_path, "flow", "spatial", "audio")
    with pytest.raises(
        InputError, match=r"; leave `--config` or `--set` out, and it stays as it is; or use .*--replace"
    ):
        typed(tmp_path, "sampling.method=uniform")


def test_where_two_stages_want_different_values_the_one_may_go_on_unused(tmp_path: Path) -> None:
    made(tmp_path, "spatial", "audio", "rnn-spatial", "rnn-audio", streams=["spatial", "audio"])
    typed(tmp_path, "streams=[spatial]", "rnn.units=8", begun="rnn-spatial", replace=["rnn-spatial"])
    with pytest.raises(InputError, match=r"stage rnn-audio .*; leave .* out, and it lies unused, as it is; or use"):
        typed(tmp_path, "streams=[spatial, audio]")


def test_the_first_seed_is_restored_and_further_ones_stay(tmp_path: Path) -> None:
    made(tmp_path, "spatial", "audio", "rnn-audio", streams=["audio", "spatial"], seeds=[5])
    typed(tmp_path, "streams=[spatial]", "seeds=[3, 4]", begun="spatial")
    with pytest.raises(InputError, match=re.escape("; say --set 'seeds=[5, 4]', and it stays")):
        typed(tmp_path, "streams=[spatial, audio]")


def test_who_changes_what_lies_unused_is_told_once(tmp_path: Path) -> None:
    made(tmp_path, "flow", "spatial", "audio")
    root = typed(tmp_path, "streams=[audio]", "sampling.method=uniform", begun="audio")
    (warning,) = root.warnings()
    assert "stage spatial lies unused" in warning and "sampling.method (it was 'adaptive', now 'uniform')" in warning
    assert options(warning) == ["sampling.method=adaptive"]
    assert typed(tmp_path).warnings() == typed(tmp_path, "extract.actors=1").warnings() == []
    (tmp_path / layout.stage("flow")).write_text("{")
    assert typed(tmp_path, "flow.bound_px=5").warnings() == []  # damaged: told to who uses it


def test_a_stage_that_is_off_by_its_own_key_is_no_news(tmp_path: Path) -> None:
    made(tmp_path, "finetune", "audio", finetune={"blocks": 2}, streams=["audio"])
    assert typed(tmp_path, "finetune.blocks=0").warnings() == []
