"""What `predict` refuses before it loads a network, and what it says of probabilities."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import actionrec as package
from actionrec.learning.calibration import Calibration
from actionrec.predict import Predictor
from tests.learnt_roots import learnt_root
from tests.tiny_roots import actionrec


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "there is no fused model here; run `actionrec train svm`"),
        (("--json", "--csv"), "--json and --csv"),
    ],
)
def test_what_cannot_be_predicted_is_said_before_a_network_is_loaded(
    given: tuple[str, ...],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, clip = learnt_root(tmp_path / "root"), tmp_path / "clip.mp4"
    clip.touch()
    monkeypatch.delitem(sys.modules, "actionrec.embed", raising=False)
    assert actionrec("predict", clip, "--root", root.store.url, *given) == 2
    text = capsys.readouterr()
    assert words in text.err and text.out == ""
    assert actionrec("predict", clip, "--root", tmp_path / "typo") == 2
    assert "there is no root here" in capsys.readouterr().err
    assert actionrec("train", "fusion", "--root", root.store.url) == 0
    capsys.readouterr()
    for name, said in (("none.mp4", "no such file"), ("*.avi", "no video matches"), ("root", "holds no videos")):
        assert actionrec("predict", tmp_path / name, "--root", root.store.url, *given) == 2
        assert (said if not given else words) in capsys.readouterr().err
    assert "actionrec.embed" not in sys.modules


@pytest.mark.parametrize(
    ("calibration", "refitted", "words"),
    [
        (None, False, "none, for this fused model was fitted before there were any.*run --root R --replace fusion"),
        (Calibration(None, 12), False, "none, for it takes 20 validation videos, and there are 12"),
        (Calibration(0.3, 40), False, "calibrated on 40 validation videos; over all 3 classes they add up to 100 %"),
        (Calibration(0.3, 40), True, "calibrated on 40 validation videos, before it was fitted on these too"),
    ],
)
def test_why_there_are_no_probabilities_is_said(calibration: Calibration | None, refitted: bool, words: str) -> None:
    predictor = Predictor.__new__(Predictor)
    predictor._url = "R"
    predictor._fused = SimpleNamespace(calibration=calibration, refitted=refitted, labels="abc")  # type: ignore[assignment]
    assert re.search(words, predictor.about_probabilities)


def test_the_package_itself_imports_nothing_and_knows_no_other_name() -> None:
    code = "import sys, actionrec; assert not {'numpy', 'torch', 'pyarrow', 'typer'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", f"{code}; actionrec.Predictor"], check=True, timeout=120)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        package.Nothing  # noqa: B018
