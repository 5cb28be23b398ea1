"""Hostile configurations and manifests: one sentence, soon, and nothing is run, opened or exhausted."""

import time
from pathlib import Path

import pytest

from tests.tiny_roots import actionrec

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
HOSTILE = {
    "an object": "seed: !!python/object/apply:pathlib.Path.touch [CANARY]",
    "a module": "seed: !!python/module:os",
    "a name": "seed: !!python/name:os.system",
    "an unknown key": "extract: {actor: 3}",
    "infinity": "rnn: {lr: 1e309}",
    "a negative": "rnn: {units: -5}",
    "text for a number": "rnn: {units: many}",
    "many laughs": LAUGHS,
    "depth": "[" * 20_000,
    "no text": "\x00\x01\x02",
}
PATHS = [
    "../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "s3://other-bucket/clip.avi",
    "concat:a.avi|b.avi",
    "subfile,,start,0,end,9,,:a.avi",
    "..\\..\\secret.avi",
    "a/../../b.avi",
]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("place", ["--config", "root"])
def test_a_hostile_configuration_is_refused_soon(
    kind: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary, root = tmp_path / "canary", tmp_path / "root"
    root.mkdir()
    path = tmp_path / "given.yaml" if place == "--config" else root / "config.yaml"
    path.write_text(HOSTILE[kind].replace("CANARY", str(canary)))
    begun_s = time.monotonic()
    assert actionrec("extract", "--root", root, *(["--config", path] if place == "--config" else [])) == 2
    assert time.monotonic() - begun_s < 20
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ") and len(said) < 1000, said
    assert not canary.exists()


@pytest.mark.parametrize("path", PATHS)
def test_a_manifest_leads_nowhere_else(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "videos").mkdir()
    manifest = tmp_path / "videos/clips.csv"
    manifest.write_text(f'path,label\ngood.avi,a\n"{path}",b\n')
    assert actionrec("catalog", manifest, "--root", tmp_path / "root") == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ") and "line 3" in said
    assert not (tmp_path / "root/catalog.parquet").exists()
