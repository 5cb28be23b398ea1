"""Which vectors stand for the classes of video2vec, and what happens where their file has changed or gone."""

from pathlib import Path

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.storage.root import Root, begin, open_root
from actionrec.table2 import video2vec
from tests.learnt_roots import learnt_root
from tests.tiny_features import clips

LABELS = ["ApplyEyeMakeup", "eat", "run"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """Its classes have names of words."""
    made = learnt_root(tmp_path / "root", clips())
    monkeypatch.setattr(video2vec, "class_labels", lambda catalog: LABELS)
    return made


def with_words(root: Root, words: Path) -> Root:
    return open_root(root.store.url, [{"baselines": {"video2vec": {"word_vectors": str(words)}}}])


def put(words: Path, run: str = "0 0 1") -> Path:
    words.write_text(f"apply 1 0 0\neye 1 0 0\neat 0 2 0\nrun {run}\n")
    return words


def test_without_a_file_classes_have_orthonormal_vectors_that_the_seed_decides(root: Root) -> None:
    one, again = video2vec.inputs(root), video2vec.inputs(open_root(root.store.url))
    assert one == again != video2vec.inputs(open_root(root.store.url, [{"baselines": {"video2vec": {"dimension": 9}}}]))
    vectors_CD = video2vec._class_vectors(root)
    assert vectors_CD.shape == (3, 300)
    np.testing.assert_allclose(vectors_CD @ vectors_CD.T, np.eye(3), atol=1e-6)


def test_a_file_that_changes_under_its_name_makes_another_system(root: Root, tmp_path: Path) -> None:
    words = with_words(root, put(tmp_path / "words.txt"))
    before = video2vec.inputs(words)
    np.testing.assert_allclose(video2vec._class_vectors(words), np.eye(3), atol=1e-6)
    put(tmp_path / "words.txt", run="0 1 1")
    assert video2vec.inputs(words) != before


def test_what_has_begun_needs_its_file_no_more_and_what_has_not_says_what_is_missing(
    root: Root, tmp_path: Path
) -> None:
    file = put(tmp_path / "words.txt")
    words = with_words(root, file)
    before = video2vec.inputs(words)
    file.unlink()
    with pytest.raises(InputError, match=r"baselines\.video2vec\.word_vectors: the file cannot be read .*words\.txt"):
        video2vec.inputs(words)
    begin(words, "video2vec", before)
    assert video2vec.inputs(words) == before
