"""Which frames are looked at: one strip where both ways take the same frames, two where they differ."""

from pathlib import Path

import numpy as np
import pytest

from actionrec.report import sampling, stills
from actionrec.report.findings import Findings
from actionrec.show.gallery import Gallery
from tests.tiny_features import clips, make_root


def clip(constant: list[int]) -> stills.Sampled:
    taken = {"adaptive": np.array([0, 2, 4, 5]), "constant": np.array(constant)}
    moments_s = {way: frames / 25 for way, frames in taken.items()}
    return stills.Sampled("a.mp4", np.arange(1, 8) / 25, np.ones(7), taken, moments_s)


@pytest.mark.parametrize(
    ("constant", "headings"),
    [([0, 2, 4, 5], ["Adaptive and constant alike"]), ([0, 2, 4, 6], ["Adaptive", "Constant"])],
)
def test_strips_are_one_where_they_are_equal(
    constant: list[int], headings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.zeros((4, 12, 16, 3), np.uint8)
    monkeypatch.setattr(stills, "sampled", lambda root: clip(constant))
    monkeypatch.setattr(stills, "frames_of", lambda root, wanted: dict.fromkeys(wanted, frames))
    blocks = sampling.sampling(Findings(make_root(tmp_path, clips(classes=2))))
    strips = [(block.heading, part) for block in blocks for part in block.parts if isinstance(part, Gallery)]
    assert [heading for heading, _ in strips] == headings
    assert all(len(part.thumbnails) == 4 and part.small for _, part in strips)
    assert ("Both take the same frames" in str([block.text for block in blocks])) == (len(headings) == 1)


def test_a_clip_that_is_gone_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stills, "sampled", lambda root: clip([0, 2, 4, 6]))
    findings = Findings(make_root(tmp_path, clips(classes=2)))
    blocks = sampling.sampling(findings)
    assert findings.lacking == {"a.mp4"}
    assert "a.mp4: no frame can be shown (its file is not there any more)" in str([block.text for block in blocks])
