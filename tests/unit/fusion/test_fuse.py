"""The fused model's probabilities: fitted on validation alone, before a refit, and kept with the model."""

import json
from pathlib import Path
from typing import Any

import pytest

from actionrec.errors import InputError
from actionrec.fusion.fuse import fuse, load_fused
from actionrec.learning import fusion
from actionrec.learning.calibration import calibrate
from actionrec.storage.embeddings import split_embeddings
from actionrec.storage.root import Root
from tests.learnt_roots import learnt_root, put_embeddings
from tests.tiny_features import Clip, clips

VIDEOS = clips(classes=6, clips_per_group=4)  # 24 of them for validation


def fused_root(url: Path, settings: dict[str, Any] | None = None, videos: list[Clip] = VIDEOS) -> Root:
    root = learnt_root(url, videos, {"fusion": settings or {}})
    put_embeddings(root, videos, noise=4.0)
    fuse(root)
    return root


def test_probabilities_go_by_margins_of_videos_that_the_svm_was_not_fitted_on(tmp_path: Path) -> None:
    plain, refitted = fused_root(tmp_path / "plain"), fused_root(tmp_path / "refitted", {"refit": True})
    sides = split_embeddings(plain, 0)
    train, val = sides["train"], sides["val"]
    model = fusion.fit(
        train.embeddings, train.target, val.embeddings, val.target, load_fused(plain, 0).labels, plain.config.fusion, 0
    )
    expected = calibrate(model.decisions(val.embeddings), val.target)
    assert expected.videos == 24 and expected.temperature is not None
    for root in (plain, refitted):
        assert load_fused(root, 0).calibration == expected
    again = load_fused(refitted, 0)
    assert calibrate(again.decisions(val.embeddings), val.target) != expected  # which it knows by now


def test_test_videos_have_no_say(tmp_path: Path) -> None:
    turned = [each._replace(label="c0") if each.split == "test" else each for each in VIDEOS]
    one, other = fused_root(tmp_path / "one"), fused_root(tmp_path / "other", videos=turned)
    assert load_fused(one, 0).calibration == load_fused(other, 0).calibration


def test_a_model_of_before_has_none_and_nonsense_is_refused(tmp_path: Path) -> None:
    root = fused_root(tmp_path / "root")
    key = "models/fusion/config.json"
    config = json.loads(root.store.read(key))
    for bad in ({"temperature": -1, "videos": 24}, {"temperature": 1}, 7):
        root.store.put(key, json.dumps(config | {"calibration": bad}).encode())
        with pytest.raises(InputError, match="use --replace fusion"):
            load_fused(root, 0)
    del config["calibration"]
    root.store.put(key, json.dumps(config).encode())
    assert load_fused(root, 0).calibration is None


def test_too_few_validation_videos_are_counted(tmp_path: Path) -> None:
    root = fused_root(tmp_path / "root", videos=clips(classes=6))
    found = load_fused(root, 0).calibration
    assert found is not None and (found.temperature, found.videos) == (None, 12)
