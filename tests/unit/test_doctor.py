"""What the doctor looks into is what a job on this root would do. Its checks of machines are not run here."""

from pathlib import Path
from typing import Any

import pytest

from actionrec import config, doctor
from actionrec.config import Config
from actionrec.doctor import Finding
from actionrec.errors import ActionrecError
from actionrec.storage import layout, weights
from tests.tiny_features import SETTINGS, make_root
from tests.tiny_roots import actionrec

WEIGHTS = doctor._weights


def surveyed(examined: Config) -> list[weights.Availability]:
    """The default's frame network is missing; the demo has what it needs."""
    is_demo = examined == config.load([config.read_layer("demo")])
    return [weights.Availability("frame", *(("small", "cached") if is_demo else ("big.safetensors", "missing")))]


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
    for more in ([], ["--root", tmp_path / "new/root"]):
        assert actionrec("doctor", "--config", "demo", *more) == 0
    assert not list(tmp_path.iterdir())  # a root that is only asked about is not begun
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


def test_what_the_demo_does_not_need_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: list[Config]
) -> None:
    monkeypatch.setattr(doctor, "_weights", WEIGHTS)
    monkeypatch.setattr(weights, "survey", surveyed)
    assert actionrec("doctor") == 1
    said = capsys.readouterr().out
    [line] = [line for line in said.splitlines() if line.startswith("FAIL")]
    assert "frame: big.safetensors is missing" in line and line.endswith("(the demo does not need it)")
    assert said.splitlines()[-1] == "A job with these settings would fail here; `actionrec demo` would not."


def test_what_the_demo_needs_too_is_not_said_to_be_spared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: list[Config]
) -> None:
    def fails() -> str:
        raise ActionrecError("0.5 GiB in all; a job needs 4")

    monkeypatch.setattr(doctor, "_memory", fails)
    assert actionrec("doctor") == 1
    said = capsys.readouterr().out
    assert "FAIL memory      0.5 GiB in all; a job needs 4\n" in said and "the demo" not in said


def test_cores_are_counted(capsys: pytest.CaptureFixture[str], seen: list[Config]) -> None:
    assert actionrec("doctor") == 0
    assert "ok   cores" in (said := capsys.readouterr().out) and "usable" in said and "logical" in said
