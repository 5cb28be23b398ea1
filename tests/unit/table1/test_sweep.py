"""What a sweep refuses before it begins: a stream that is not there, with what would make it."""

import re
from pathlib import Path

import pytest

from actionrec.config import set_layer
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.root import open_root
from actionrec.storage.streams import wanted
from actionrec.table1.sweep import tune_rnn
from tests.tiny_features import clips, make_root

SPATIAL = {"streams": ["spatial"], "sampling": {"method": "uniform"}}


def refusal(folder: Path, *layers: dict[str, object]) -> str:
    with pytest.raises(InputError) as raised:
        tune_rnn(open_root(str(folder), layers))
    return str(raised.value)


@pytest.mark.parametrize("stream", ["audio", "motion"])
def test_a_stream_that_nothing_makes_is_refused_with_a_command_that_makes_it(tmp_path: Path, stream: str) -> None:
    root = make_root(tmp_path, settings=SPATIAL)
    root.store.delete(layout.stage("audio"))
    said = refusal(tmp_path, {"tune": {"stream": stream}})
    (command,) = re.findall(r"`actionrec extract ([^`]*)`", said)
    assert stream in wanted(open_root(str(tmp_path), [set_layer(re.findall(r"--set (\S+)", command))]).config)
    assert ("`actionrec train motion`" in said) == (stream == "motion")


def test_imported_features_have_no_other_stream(tmp_path: Path) -> None:
    make_root(tmp_path, settings=SPATIAL | {"data": {"source": "/nowhere.npz", "dataset": "features"}}).store.delete(
        layout.stage("audio")
    )
    assert "imported as spatial alone" in refusal(tmp_path, {"tune": {"stream": "audio"}})


def test_a_stream_that_only_typed_settings_ask_for_is_not_said_to_come_of_a_bare_command(tmp_path: Path) -> None:
    root = make_root(tmp_path, clips(), SPATIAL)
    root.store.delete(layout.stage("audio"))
    both: dict[str, object] = {"streams": ["spatial", "audio"], "tune": {"stream": "audio"}}
    assert "run `actionrec extract` with this command's --config and --set first" in refusal(tmp_path, both)
    root = open_root(str(tmp_path), [both])
    root.save_config()
    assert "run `actionrec extract` first" in refusal(tmp_path)
