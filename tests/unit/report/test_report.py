"""The report of small roots: every chapter is there, run or not, and a rerun of the same results writes nothing."""

import datetime
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.errors import InputError
from actionrec.fusion.evaluate import evaluate
from actionrec.fusion.fuse import fuse
from actionrec.report.report import CHAPTERS, report
from actionrec.storage import layout
from actionrec.storage.root import Root, open_root
from actionrec.table2.table import write_table2
from tests.learnt_roots import learnt_root
from tests.tiny_features import SETTINGS, clips
from tests.tiny_roots import actionrec, snapshot, write_clips

NAMES = {"c0": "<script>alert(1)</script>", "c1": "танок \"гопак\" & 'x'", "c2": "$\\frac{1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    videos = [clip._replace(label=NAMES.get(clip.label, clip.label)) for clip in clips(classes=6)]
    made = learnt_root(tmp_path_factory.mktemp("reported") / "root", videos)
    fuse(made)
    evaluate(made)
    write_table2(made)
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
    assert missing == {"table1", "svm", "anomaly"}
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
    assert "random (frame, audio)" in said and "seeds" in said and "torch" in said
    assert f"--config {root.store.url}/config.yaml" in said and "cores" in said
    assert said.count("<details>") == said.count("<table>") + 1  # all of it waits behind headings
    assert "The weights are random, as configured (frame, audio)" in chapter(root, "result")
    assert "paper top-1" in chapter(root, "table2") and "93.1 %" in chapter(root, "table2")


def test_a_rerun_writes_nothing_and_other_results_another_page(root: Root) -> None:
    before = snapshot(Path(root.store.url))
    again = open_root(root.store.url)
    assert not report(again).written and report(again).facts() == report(root).facts()
    assert snapshot(Path(root.store.url)) == before
    table = Path(root.store.url, "tables/classes.parquet")
    kept = table.read_bytes()
    table.unlink()
    try:
        assert report(again).written and "Not run yet" in chapter(root, "confusion")
    finally:
        table.write_bytes(kept)
        assert report(again).written


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    """The videos of a root whose page has pictures of two of them. A third is broken, which stays so."""
    videos = tmp_path / "videos"
    names = [*write_clips(videos, (0, 1)), "broken.mp4"]
    (videos / names[-1]).write_bytes(b"no video")
    given = [each._replace(video_id=name, split="train") for name, each in zip(names, clips(classes=2), strict=False)]
    root = learnt_root(tmp_path / "root", given, {"data": {"source": str(videos)}})
    root.save_config()
    table = root.catalog()
    paths = pa.array([f"{videos}{path}" for path in table["path"].to_pylist()], pa.string())
    table = table.set_column(table.schema.get_field_index("path"), "path", paths)
    root.store.put(layout.CATALOG, schema.to_parquet(table, "x"))
    rows = [{"video_id": name, "score": 1.0, "threshold": 2.0, "anomalous": False} for name in names]
    scores = schema.to_parquet(pa.Table.from_pylist(rows, schema.ANOMALY), "x")
    root.store.put(layout.table("anomaly"), scores)
    assert report(root).written and pictures(root) == 4  # of the unusual videos, and of their classes
    return videos


def pictures(root: Root) -> int:
    return text_of(root).count("<img")


def test_a_page_outlives_the_videos_of_its_pictures_and_says_so(pictured: Path) -> None:
    root = open_root(str(pictured.parent / "root"))
    other = open_root(root.store.url, [{"limits": {"frames": 4000}}])  # the page shows this setting
    before = snapshot(Path(root.store.url))
    pictured.rename(pictured.with_name("away"))
    assert "videos" not in report(root).facts()
    found = report(other)
    assert not found.written and "3 cannot be read now: the page stays as it was" in str(found.facts()["videos"])
    assert snapshot(Path(root.store.url)) == before
    pictured.with_name("away").rename(pictured)
    assert report(other).written and pictures(root) == 4


def test_a_page_without_pictures_is_made_again_once_the_videos_are_there(pictured: Path) -> None:
    root = open_root(str(pictured.parent / "root"))
    pictured.rename(pictured.with_name("away"))
    root.store.delete(layout.REPORT)
    found = report(root)
    assert found.written and "the page lacks their pictures" in str(found.facts()["videos"])
    assert "its file is not there any more" in chapter(root, "anomaly") and pictures(root) == 0
    assert not report(root).written
    pictured.with_name("away").rename(pictured)
    assert report(root).written and pictures(root) == 4 and not report(root).written


def test_other_results_make_another_page_also_without_the_videos(pictured: Path) -> None:
    root = open_root(str(pictured.parent / "root"))
    pictured.rename(pictured.with_name("away"))
    root.store.put(layout.model(layout.AUTOENCODER) + "model.safetensors", b"another")
    assert report(root).written and pictures(root) == 0


@pytest.mark.parametrize(
    ("changed", "is_other"),
    [
        ({"tune": {"stream": "audio"}}, False),
        ({"finetune": {"lr": 1.0}}, False),
        ({"rnn": {"heads": 2}}, False),
        ({"tune": {"stream": "audio", "in_run": True}}, True),
        ({"extract": {"actors": 7}}, True),
    ],
)
def test_a_setting_that_the_page_does_not_show_makes_no_other(
    root: Root, changed: dict[str, Any], is_other: bool
) -> None:
    report(root)
    found = report(open_root(root.store.url, [SETTINGS, changed]))
    assert found.written == is_other


def test_a_page_of_the_same_results_keeps_its_day(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    report(root)
    before = text_of(root)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Later":
            return cls(2031, 5, 4, tzinfo=tz)

    monkeypatch.setattr(datetime, "datetime", Later)
    assert report(open_root(root.store.url, [SETTINGS, {"extract": {"actors": 9}}])).written
    assert "2031" not in text_of(root)
    report(root)
    assert text_of(root) == before
    root.store.delete(layout.REPORT)
    assert report(root).written and "4 May 2031 ·" in text_of(root)


def test_a_root_without_anything_is_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec("report", "--root", str(tmp_path / "none")) == 2
    assert "there is no root here" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="no catalog"):
        report(open_root(str(tmp_path / "none")))
    assert not list(tmp_path.iterdir())
