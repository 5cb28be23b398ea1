"""The report of small roots: every chapter is there, run or not, and a rerun of the same results writes nothing."""

import re
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.fusion.evaluate import evaluate
from actionrec.fusion.fuse import fuse
from actionrec.report.report import CHAPTERS, report
from actionrec.storage.root import Root, open_root
from tests.learnt_roots import learnt_root
from tests.tiny_features import clips
from tests.tiny_roots import actionrec, snapshot

NAMES = {"c0": "<script>alert(1)</script>", "c1": "танок \"гопак\" & 'x'", "c2": "$\\frac{1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    videos = [clip._replace(label=NAMES.get(clip.label, clip.label)) for clip in clips(classes=6)]
    made = learnt_root(tmp_path_factory.mktemp("reported") / "root", videos)
    fuse(made)
    evaluate(made)
    assert report(made).written
    return made


def text_of(root: Root) -> str:
    return Path(root.store.url, "report/index.html").read_text(encoding="utf-8")


def chapter(root: Root, name: str) -> str:
    return text_of(root).split(f'id="{name}"')[1].split("</section>")[0]


def test_every_chapter_is_there_and_what_was_not_run_says_so(root: Root) -> None:
    text = text_of(root)
    assert [name for name, *_ in CHAPTERS] == re.findall(r'<section id="([a-z0-9]+)"', text)
    missing = {name for name, *_ in CHAPTERS if "Not run yet" in chapter(root, name)}
    assert {"table1", "svm", "anomaly"} <= missing and not missing & {"run", "table2", "ablation", "confusion", "map"}
    assert f"actionrec tune rnn --root {root.store.url}" in chapter(root, "table1")
    assert "Table I: recurrent networks" in str(report(root).facts()["not run yet"])


def test_names_are_shown_and_harm_nobody(root: Root) -> None:
    text = text_of(root)
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text and "танок" in text and "$\\frac{1" in text


def test_the_page_says_what_made_it(root: Root) -> None:
    said = chapter(root, "run")
    cells = re.sub(r"(<[^>]*>|\s)+", " ", said)
    assert (
        "embeddings rnn-spatial, rnn-motion, rnn-audio" in cells and "rnn-audio audio " in cells
    )  # the table of stages
    assert "The weights are random" in said and "seeds" in said and "torch" in said
    assert "published" in chapter(root, "table2") and "93.1 %" in chapter(root, "table2")


def test_a_rerun_writes_nothing_and_other_results_another_page(root: Root) -> None:
    before = snapshot(Path(root.store.url))
    again = open_root(root.store.url)
    assert not report(again).written and report(again).facts() == report(root).facts()
    assert snapshot(Path(root.store.url)) == before
    table = Path(root.store.url, "tables/classes.parquet")
    kept = table.read_bytes()
    table.unlink()
    try:
        assert report(again).written and "Not run yet" in chapter(root, "classes")
    finally:
        table.write_bytes(kept)
        assert report(again).written


def test_a_root_without_anything_is_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec("report", "--root", str(tmp_path / "none")) == 2
    assert "there is no root here" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="no catalog"):
        report(open_root(str(tmp_path / "none")))
    assert not list(tmp_path.iterdir())
