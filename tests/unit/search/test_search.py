"""`actionrec search` and `duplicates` on small roots: what they list, what they write, and what they refuse."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.errors import ActionrecError
from actionrec.search import pairs
from actionrec.search.search import duplicates, search, write_page
from actionrec.search.space import apart
from actionrec.show.gallery import shrunk
from actionrec.show.neighbors import Neighbor, html
from actionrec.storage import layout
from actionrec.storage.embeddings import read_embeddings
from actionrec.storage.root import Root, open_root
from tests.learnt_roots import learnt_root
from tests.tiny_features import clips
from tests.tiny_roots import actionrec, snapshot

VIDEOS = clips(classes=6)
ONE, COPY, SILENT = VIDEOS[6], VIDEOS[0], VIDEOS[1]  # in training; in test, where it is a copy; and one without sound


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings in which a test video and, but for its sound, another one are those of a training video."""
    root = learnt_root(tmp_path_factory.mktemp("search") / "root", VIDEOS)
    table, ids = read_embeddings(root, 0), [each.video_id for each in VIDEOS]
    one, copy, silent = (ids.index(each.video_id) for each in (ONE, COPY, SILENT))
    for stream in root.config.streams:
        vectors = table[stream].to_pylist()
        vectors[copy] = vectors[one]
        vectors[silent] = None if stream == "audio" else vectors[one]
        field = table.schema.field(stream)
        table = table.set_column(table.schema.get_field_index(stream), field, pa.array(vectors, field.type))
    key = layout.video_embeddings()
    root.output.put(key, schema.to_parquet(table, str(schema.fingerprint_of(root.output.read(key)))))
    return Path(root.store.url)


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Root:
    return open_root(str(shutil.copytree(whole, tmp_path / "root")))


def test_a_video_is_not_its_own_neighbour_and_copies_are_nearest(root: Root) -> None:
    found = search(root, ONE.video_id, 5)
    assert [each.video_id for each in found.neighbors[:2]] == [COPY.video_id, SILENT.video_id]
    assert [each.distance for each in found.neighbors[:2]] == pytest.approx([0, 0], abs=1e-6)
    assert len(found.neighbors) == 5 and found.compared == len(VIDEOS) - 1
    assert found.neighbors[0] == Neighbor(COPY.video_id, found.neighbors[0].distance, COPY.label, COPY.group, "test")
    assert len(search(root, ONE.video_id, 10_000).neighbors) == len(VIDEOS) - 1


@pytest.mark.parametrize("form", ["json", "csv"])
def test_search_prints_rows_alone_and_writes_a_page(
    form: str, root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(Path(root.store.url))
    out = tmp_path / "new folder" / "page.html"
    arguments = ("search", ONE.video_id, "--root", root.store.url, "--top", 3, f"--{form}", "--out", out)
    assert actionrec(*arguments) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    read = [json.loads(line) for line in lines] if form == "json" else list(csv.DictReader(io.StringIO(text)))
    assert [row["video_id"] for row in read[:2]] == [COPY.video_id, SILENT.video_id] and len(read) == 3
    assert snapshot(Path(root.store.url)) == before and COPY.video_id in out.read_text(encoding="utf-8")
    assert actionrec("search", ONE.video_id, "--root", root.store.url) == 0
    text = capsys.readouterr().out
    assert COPY.video_id in text and "1 - cosine of the video embeddings (spatial + motion + audio)" in text
    page = Path(root.store.url, "report/search.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 11 and "no frame can be shown" in page  # there are no files


def test_the_page_holds_no_script_and_escapes_every_name() -> None:
    bad = '<script>alert("x")</script>' + "я" * 200
    shown: dict[str, bytes | str] = {bad: shrunk(np.zeros((24, 32, 3), np.uint8)), "b": bad}
    page = html(bad, [Neighbor(bad, 0.1, bad, bad, bad), Neighbor("b", 0.2, None, "g", None)], shown, bad)
    assert "<script" not in page and page.count("&lt;script&gt;") > 5
    assert page.count("data:image/webp;base64,") == 2 and "http" not in page.replace("http-equiv", "")


def test_duplicates_lists_copies_across_splits_first_and_none_within_a_group(
    root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    found = duplicates(root, 0.01)
    listed = [{video["video_id"] for video in row["videos"]} for row in found.rows()]
    assert listed == [{ONE.video_id, COPY.video_id}, {ONE.video_id, SILENT.video_id}]  # not COPY and SILENT: one group
    assert all(row["across_splits"] for row in found.rows()) and found.pairs.total_across == 2
    assert actionrec("duplicates", "--root", root.store.url, "--threshold", 0.01) == 0
    text = capsys.readouterr().out
    assert "2 pairs of near copies lie in different groups, 2 of them in different splits" in text
    assert "one group (the column group of a CSV)" in text and ONE.video_id in text
    assert actionrec("duplicates", "--root", root.store.url, "--threshold", 0.01, "--csv") == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [{row["video_id"], row["video_id_2"]} for row in read] == listed
    assert {row["across_splits"] for row in read} == {"true"} and {read[0]["split"], read[0]["split_2"]} == {
        "test",
        "train",
    }
    assert actionrec("duplicates", "--root", root.store.url, "--threshold", 0.01, "--json") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == found.rows()


def test_equal_videos_are_found_at_no_distance(root: Root) -> None:
    pairs_of = {frozenset(video["video_id"] for video in row["videos"]) for row in duplicates(root, 0).rows()}
    assert frozenset((ONE.video_id, COPY.video_id)) in pairs_of


def test_rounding_sets_no_equal_vectors_apart() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 3072)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (apart(np.einsum("nd,nd->n", vectors, vectors)) == 0).all()
    assert apart(np.float32([1 - 1e-5]))[0] > 0


def test_a_page_that_cannot_be_written_costs_no_answer(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object) -> str:
        raise ActionrecError("the root cannot be written")

    monkeypatch.setattr("actionrec.search.search.write_page", refuse)
    assert actionrec("search", ONE.video_id, "--root", root.store.url) == 0
    said = capsys.readouterr()
    assert COPY.video_id in said.out and "there is no page of these: the root cannot be written" in said.err
    assert actionrec("search", ONE.video_id, "--root", root.store.url, "--csv") == 0
    assert "page" not in capsys.readouterr().err


def test_an_index_gives_the_same_and_says_that_it_was_one(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = duplicates(root)
    monkeypatch.setattr("actionrec.search.search.EXACT_VIDEOS", 10)
    indexed = duplicates(root)
    assert [row["videos"] for row in indexed.rows()] == [row["videos"] for row in exact.rows()]
    assert "by an index, which may miss a pair" in indexed.said()[0] and "each with every other one" in exact.said()[0]


def test_what_is_left_out_is_said(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "KEPT_PAIRS", 1)
    extra = {**root.catalog().slice(0, 1).to_pylist()[0], "video_id": "new.avi"}
    table = pa.concat_tables([root.catalog(), pa.Table.from_pylist([extra], schema=schema.CATALOG)])
    root.store.put(layout.CATALOG, schema.to_parquet(table, "x"))
    found = duplicates(root, 0.01)
    assert len(found.warnings()) == 2
    assert "1 pairs more are not listed" in found.warnings()[0] and "1 catalogued videos" in found.warnings()[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search", "c0/g3_0.avo"), "did you mean 'c0/g3_0.avi'"),
        (("search", "none.mp4", "--json", "--csv"), "--json and --csv"),
        (("search", "c0/g3_0.avi", "--out", "catalog.parquet"), "name a file that ends in .html"),
        (("search", "https://a.org/clip.mp4"), "not supported"),
        (("search", "s3://[x/a.mp4"), "not a URL"),
        (("duplicates", "--threshold", 3), "--threshold 3"),
        (("duplicates", "--threshold", "nan"), "--threshold nan"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[object, ...], words: str, root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    assert actionrec(*arguments, "--root", root.store.url) == 2
    text = capsys.readouterr()
    assert words in text.err and text.err.count("error:") == 1 and text.out == ""


@pytest.mark.parametrize("verb", [("search", "a.avi"), ("duplicates",)])
def test_a_root_without_embeddings_or_none_at_all_says_so(
    verb: tuple[str, ...], root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(root.store.url, "stages/embeddings.json").unlink()
    assert actionrec(*verb, "--root", root.store.url) == 2
    assert "run `actionrec train rnn`" in capsys.readouterr().err
    assert actionrec(*verb, "--root", tmp_path / "typo") == 2
    assert "there is no root here" in capsys.readouterr().err


def test_several_files_are_refused_and_imported_features_have_no_networks_for_one(
    root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "new" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "new" / name).touch()
    assert actionrec("search", tmp_path / "new", "--root", root.store.url) == 2
    assert "these are 2 videos; search looks for one" in capsys.readouterr().err
    config = Path(root.store.url, "config.yaml")
    config.write_text(config.read_text().replace("dataset: folder", "dataset: features"))
    assert actionrec("search", tmp_path / "new" / "a.mp4", "--root", root.store.url) == 2
    assert "its features were imported" in capsys.readouterr().err
    assert write_page(open_root(root.store.url), search(open_root(root.store.url), ONE.video_id, 2), None)
