"""What the doctor looks into is what a job on this root would do. Its checks of machines are not run here."""

from pathlib import Path
from typing import Any

import pytest

from actionrec import config, doctor
from actionrec.config import Config
from actionrec.doctor import Finding
from actionrec.storage import layout
from tests.tiny_features import SETTINGS, make_root
from tests.tiny_roots import actionrec


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations whose weights were looked for; nothing else is examined."""
    found: list[Config] = []

    def weights(examined: Config) -> list[Finding]:
        found.append(examined)
        return []

    monkeypatch.setattr(doctor, "_weights", weights)
    for name in ("memory", "disk", "gpu"):
        monkeypatch.setattr(doctor, f"_{name}", lambda: "well")
    for name in ("decoder", "ray"):
        monkeypatch.setattr(doctor, f"_{name}", lambda given: "well")
    return found


def test_a_root_is_examined_with_its_own_settings_and_what_is_typed_over_them(
    tmp_path: Path, seen: list[Config]
) -> None:
    make_root(tmp_path)
    assert actionrec("doctor", "--root", tmp_path, "--set", "streams=[audio]") == 0
    assert seen == [config.load([SETTINGS, {"streams": ["audio"]}])]


def test_a_new_root_and_none_are_examined_with_what_is_typed(tmp_path: Path, seen: list[Config]) -> None:
    for more in ([], ["--root", tmp_path / "new"]):
        assert actionrec("doctor", "--config", "demo", *more) == 0
    assert seen[0] == seen[1] == config.load([config.read_layer("demo")])


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (None, ["--set", "frame.size=32"], "the stage spatial was made with other settings: frame.size"),
        ("frame: {sizes: 64}", [], "unknown key frame.sizes"),
    ],
)
def test_settings_that_a_job_would_be_refused_for_are_a_finding_and_the_rest_is_examined(
    tmp_path: Path,
    seen: list[Config],
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    options: list[Any],
    told: str,
) -> None:
    root = make_root(tmp_path)
    if text:
        root.store.put(layout.CONFIG, text.encode())
    assert actionrec("doctor", "--root", tmp_path, *options) == 1
    assert "FAIL root" in (said := capsys.readouterr().out) and told in said
    assert len(seen) == 1
