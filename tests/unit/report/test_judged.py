"""The page of judged roots of 2 and of 101 classes: its figures are the tables', and one model is *the* model."""

import re
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from actionrec.report.report import report
from actionrec.report.result import conclusion
from actionrec.storage import layout
from actionrec.storage.root import Root, open_root
from tests.judged_roots import judged_root
from tests.learnt_roots import learnt_root
from tests.tiny_features import Clip, clips, make_root
from tests.tiny_roots import clip

LONG = ("дуже довга назва класу " * 9)[:200]
NAMES = {"c0": "<script>alert(1)</script>", "c1": 'танок "гопак"', "c2": LONG, "c3": "$\\frac{1"}
MODEL = "spatial + motion + audio (svm)"
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    for number in range(6):
        (folder / f"{number}.mp4").write_bytes(clip(2 * number + 1))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, files: list[Path]) -> Root:
    root = judged_root(tmp_path_factory.mktemp("wide") / "root", 101, NAMES, files=files)
    assert report(root).lacking == 0
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Two classes of 7 clips each, whose files are not there."""
    splits = ["test", "test", "val", "train", "train", "train", "train"]
    videos = [
        Clip(f"c{c}/{n}.mp4", f"c{c}", f"c{c}_{n}", split, True) for c in (0, 1) for n, split in enumerate(splits)
    ]
    root = judged_root(tmp_path_factory.mktemp("small") / "root", 2, videos=videos)
    report(root)
    return root


@pytest.fixture(params=["small", "wide"])
def judged(request: pytest.FixtureRequest) -> Root:
    found: Root = request.getfixturevalue(request.param)
    return found


def page(root: Root) -> str:
    return Path(root.store.url, "report/index.html").read_text(encoding="utf-8")


def chapter(root: Root, name: str) -> str:
    return page(root).split(f'<section id="{name}"')[1].split("</section>")[0]


def words(html: str) -> str:
    return unescape(re.sub(r"(<[^>]*>|\s)+", " ", html))


def cells(html: str) -> list[list[str]]:
    """The rows of the first table of a chapter, its head left out."""
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    return [
        [words(cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    ]


def table(root: Root, name: str) -> pd.DataFrame:
    return pd.read_parquet(Path(root.store.url, layout.table(name)))


def model(root: Root) -> pd.Series:
    rows = table(root, "ablation")
    own = rows[(rows["method"] == "svm") & (rows["streams"].map(len) == 3)]
    assert len(own) == 1
    return own.iloc[0]


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def test_the_first_screen_has_three_tiles_a_sentence_and_the_map(judged: Root) -> None:
    first, row = chapter(judged, "result"), model(judged)
    tiles = re.findall(r'<dd class="figure">(.*?)</dd><dd class="said">(.*?)</dd>', first)
    (top1, interval), (chance, _), (unusual, of) = [(words(a).strip(), words(b)) for a, b in tiles]
    assert top1 == f"{percent(row['top1'])} random" and f"{row['n_test']:,} test videos" in interval
    assert MODEL in interval and chance == percent(row["majority"])
    scores = table(judged, "anomaly")
    assert unusual == f"{scores['anomalous'].sum()} random"
    for split, own in scores.groupby("split"):
        assert f"{own['anomalous'].sum()} of {len(own):,} {split} videos" in of
    assert words(first).count("Nothing can be read into the test figures") == 1
    assert first.count("<svg") >= 2 and first.index("Nothing can be read") < first.index("<svg")
    assert "<nav" in page(judged).split('<section id="mistakes"')[0]


@pytest.mark.parametrize("name", ["mistakes", "confusion", "classes", "table2", "ablation"])
def test_one_model_is_the_model_and_every_chapter_says_which(judged: Root, name: str) -> None:
    assert MODEL in words(chapter(judged, name))


def test_the_row_that_stands_out_is_the_models(judged: Root) -> None:
    top1 = percent(model(judged)["top1"])
    for name, streams in (("table2", 7), ("ablation", 0)):
        (marked,) = re.findall(r'<tr class="marked">(.*?)</tr>', chapter(judged, name), re.DOTALL)
        found = [words(cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", marked, re.DOTALL)]
        assert found[streams] == "spatial + motion + audio" and f"{top1} random" in found and "the model" in found[-1]
    assert words(chapter(judged, "table2")).count("the model") == 2  # the sentence and the row


def test_every_class_has_its_figures(judged: Root) -> None:
    own = table(judged, "classes").sort_values(["top1", "label"])
    shown = cells(chapter(judged, "classes"))
    assert [row[:3] for row in shown] == [
        [row.label, f"{row.n_test:,}", f"{percent(row.top1)} random"] for row in own.itertuples()
    ]
    cards = re.findall(r'<p class="title" title="(.*?)">', chapter(judged, "classes"), re.DOTALL)
    assert [unescape(each) for each in cards] == own["label"].tolist()  # one order everywhere


def test_the_confusion_matrix_has_every_count(small: Root, wide: Root) -> None:
    counts = {(row.label, row.predicted): row.videos for row in table(small, "confusion").itertuples()}
    labels = table(small, "classes").sort_values(["top1", "label"])["label"].tolist()
    for label, (name, *numbers, total) in zip(labels, cells(chapter(small, "confusion")), strict=True):
        assert name == label and total == "2"
        assert [int(number or 0) for number in numbers] == [counts.get((label, said), 0) for said in labels]
    said = set(map(unescape, re.findall(r"<title>(.*?)</title>", chapter(wide, "confusion"))))
    own = table(wide, "confusion")
    assert len(said) == len(own)
    assert all(
        f"{row.label} taken for {row.predicted}: {row.videos} of 4" in said
        for row in own.itertuples()
        if len(row.label + row.predicted) < 60
    )


def test_the_most_confused_pairs_come_first(wide: Root) -> None:
    own = table(wide, "confusion")
    own = own[own["label"] != own["predicted"]].sort_values(
        ["videos", "label", "predicted"], ascending=[False, True, True]
    )
    expected = [[row.label, row.predicted, str(row.videos), "4"] for row in own.head(12).itertuples()]
    assert [[cell.strip() for cell in row] for row in cells(chapter(wide, "confusion"))] == [
        [cell.strip() for cell in row] for row in expected
    ]


def test_wrong_videos_say_what_they_are_and_what_was_said(wide: Root) -> None:
    own = table(wide, "predictions")
    own = own[own["split"] == "test"].assign(said=own["classes"].str[0], score=own["scores"].str[0])
    wrong = own[own["said"] != own["label"]].sort_values(["score", "video_id"], ascending=[False, True])
    text = chapter(wide, "mistakes")
    found = re.findall(r"<dt>is</dt><dd>(.*?)</dd><dt>said</dt><dd>(.*?)</dd><dt>margin</dt><dd>(.*?)</dd>", text)
    assert [tuple(unescape(words(each)).strip() for each in row) for row in found] == [
        (row.label.strip(), row.said.strip(), f"{row.score:+.3f} random") for row in wrong.head(24).itertuples()
    ]
    assert f"{len(wrong)} of {len(own)} test videos" in words(text) and text.count("<img") == 24
    assert f"and {len(wrong) - 24} more" in text


def test_101_classes_have_three_pictures_each_and_the_page_stays_small(wide: Root) -> None:
    assert chapter(wide, "classes").count("<img") == 3 * 101
    assert len(page(wide).encode()) < MOST_BYTES


def test_unusual_videos_are_split_at_the_threshold(judged: Root) -> None:
    own, text = table(judged, "anomaly"), chapter(judged, "anomaly")
    above, below = text.split("The nearest below it")
    assert f"Above the threshold: {own['anomalous'].sum()}" in words(above)
    every = -(-len(own) // 800)  # of many videos, a line for every so many
    lines = [above.count(f'class="{side}"') for side in ("above", "below")]
    assert lines[0] == -(-own["anomalous"].sum() // every) and sum(lines) == -(-len(own) // every)
    assert f"threshold {own['threshold'][0]:.4g}" in above
    scores = [f"{value:.4g}" for value in own["score"]]
    first = int(own["anomalous"].sum())
    assert scores[0] in above and scores[first] in below and scores[first] not in above.split('class="gallery"')[1]


@pytest.mark.parametrize("name", ["ablation", "table2", "classes"])
def test_random_stands_in_the_cell_of_every_figure_that_it_qualifies(judged: Root, name: str) -> None:
    text = Path(judged.store.url, layout.table(name, "md")).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    rows = [row for row in rows if not row.startswith("| motion | ")]  # of the flow by itself: nothing random made it
    figures = [cell for row in rows for cell in row.strip("|").split(" | ") if re.search(r"\d %", cell)]
    own = [cell for cell in figures if "random" not in cell]
    assert len(figures) > len(own)
    assert len(own) == (7 if name == "table2" else 0)  # what the paper says is not of these weights
    shown = [row for row in cells(chapter(judged, name)) if row[0] != "motion"]
    of_page = [cell for row in shown for cell in row if re.search(r"\d %", cell)]
    assert len([cell for cell in of_page if "random" not in cell]) == len(own)


def test_hostile_names_are_names(wide: Root) -> None:
    text = page(wide)
    assert "<script" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert LONG in unescape(text) and "гопак" in text and "$\\frac{1" in text


def test_the_page_is_the_same_for_the_same_root(wide: Root) -> None:
    before = page(wide)
    wide.store.delete(layout.REPORT)
    report(open_root(wide.store.url))
    assert page(wide) == before


def test_videos_that_are_gone_leave_their_facts(small: Root) -> None:
    text = chapter(small, "anomaly")
    assert "<img" not in text and "no picture" in text and "c1/" in text
    assert "its file is not there any more" in text and "So it is of" in text
    gone = set(re.findall(r'class="empty" title="(.*?)"', page(small)))
    assert report(small).lacking == len(gone) > 6


def row(low: float | None, high: float | None) -> dict[str, float | None]:
    return {"majority": 0.1, "top1_low": low, "top1_high": high}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 0.7, "better than chance: the 95 % interval of its test top-1, 50.0 to 70.0 %, lies above the 10.0 %"),
        (0.01, 0.05, "worse than chance"),
        (0.05, 0.7, "cannot be told: the 95 % interval of its test top-1, 5.0 to 70.0 %, holds the 10.0 %"),
        (1.0, 1.0, "better than chance: every group of its test videos lies above"),
        (None, None, "cannot be told: the test videos are of one group"),
    ],
)
def test_the_conclusion_goes_by_the_interval(low: float | None, high: float | None, said: str) -> None:
    assert said in conclusion(row(low, high), "")
    assert conclusion(row(low, high), "Nothing can be read into it.") == "Nothing can be read into it."


@pytest.mark.parametrize(
    ("made", "wanting"),
    [(make_root, "there is no motion CNN here"), (learnt_root, "there is no search over the SVM here")],
)
def test_where_nothing_has_been_judged_the_page_says_what_to_run(made: object, wanting: str, tmp_path: Path) -> None:
    root = made(tmp_path / "root", clips(classes=3))  # type: ignore[operator]
    report(root)
    first = words(chapter(root, "result"))
    assert "Nothing has been judged yet" in first and wanting in first
    assert f"actionrec run --root {root.store.url}" in first and "top-1" not in first.lower()
