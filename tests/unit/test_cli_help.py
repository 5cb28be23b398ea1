"""What a person meets who does not know the command yet: help, version, and completion by the shell."""

import os
import subprocess
import sys

import pytest

from actionrec import __version__, cli
from tests.tiny_roots import actionrec
from tests.unit.test_cli import SURFACE


def test_every_verb_has_its_place_in_the_help() -> None:
    placed = [name for names in cli.PANELS.values() for name in names]
    assert len(placed) == len(set(placed)) and {verb.split()[0] for verb in SURFACE} <= set(placed)


def test_help_lists_the_verbs_in_the_order_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec("-h") == 0
    text = capsys.readouterr().out
    order = ["doctor", "run", "catalog", "extract", "train", "tune", "evaluate", "report", "predict", "upgrade"]
    places = [text.index(f"│ {verb} ") for verb in order]
    assert places == sorted(places) and all(panel in text for panel in cli.PANELS)


@pytest.mark.parametrize("verb", SURFACE)
def test_help_is_short_everywhere(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec(*verb.split(), "-h") == 0
    assert "Usage: actionrec" in capsys.readouterr().out


def test_the_svm_has_one_name_that_people_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec("train", "--help") == 0
    text = capsys.readouterr().out
    assert "│ svm " in text and "│ fusion " not in text


def test_the_version_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_a_shell_completes_verbs() -> None:
    asked = {"_ACTIONREC_COMPLETE": "complete_bash", "COMP_WORDS": "actionrec train s", "COMP_CWORD": "2"}
    program = "from actionrec.cli import main; main([])"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.split() == ["spatial", "svm"]
