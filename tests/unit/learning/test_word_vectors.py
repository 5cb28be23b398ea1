"""Class vectors from word vectors: by hand-computed values, and from files that are broken."""

import io
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrec.errors import InputError
from actionrec.learning.word_vectors import LINE_BYTES, class_vectors, lines_of, words_of

WORDS = b"""apply 2 0 0
eye 0 3 0
makeup 0 0 0.5
playing 0 1 1
guitar -4 0 0
the nan inf what
"""


def lines(text: bytes = WORDS) -> list[bytes]:
    return text.splitlines(keepends=True)


def refused(text: bytes, labels: list[str], *parts: str) -> None:
    """One sentence that begins with the file's name."""
    with pytest.raises(InputError) as caught:
        class_vectors(lines(text), labels, "words.txt")
    sentence = str(caught.value)
    assert sentence.startswith("words.txt") and "\n" not in sentence and not sentence.endswith(".")
    for part in parts:
        assert part in sentence, sentence


# --- Labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("PlayingGuitar", "playing guitar"),
        ("apply_eye-makeup 2go", "apply eye makeup go"),
        ("noFight", "no fight"),
        ("YMCADance", "ymca dance"),
        ("danceYMCA", "dance ymca"),
        ("TaiChi", "tai chi"),
        ("A", "a"),
        ("using remote (not gaming)", "using remote not gaming"),
        ("ÜberÉcole", "über école"),
        ("E\u0301cole", "\u00e9cole"),
        ("हिन्दी_नृत्य", "हिन्दी नृत्य"),
        ("ダンス", "ダンス"),
        ("42", ""),
        ("", ""),
    ],
)
def test_words_of_a_label(label: str, expected: str) -> None:
    assert words_of(label) == expected.split()


@given(st.lists(st.text("abcdefgh", min_size=1), max_size=5), st.sampled_from(["_", "-", " ", "7", "--"]))
def test_words_joined_in_any_way_are_found_again(words: list[str], separator: str) -> None:
    assert words_of(separator.join(words)) == words
    if all(len(word) > 1 for word in words):
        assert words_of("".join(word.capitalize() for word in words)) == words


# --- Vectors ----------------------------------------------------------------------------------------------------------


def test_vectors_by_hand() -> None:
    """Each word counts by its direction alone, and a word that is not known not at all."""
    found = class_vectors(lines(), ["ApplyEyeMakeup", "PlayingGuitar", "unheard_of_guitar"], "words.txt")
    third = 1 / math.sqrt(3)
    # (0, 1, 1) / sqrt 2 and (-1, 0, 0) have the mean (-1/2, 1/sqrt 8, 1/sqrt 8), whose length is 1/sqrt 2.
    expected = [[third, third, third], [-math.sqrt(1 / 2), 1 / 2, 1 / 2], [-1, 0, 0]]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_with_a_first_line_of_counts_other_ends_of_lines_and_no_last_one() -> None:
    labels = ["apply", "PlayingGuitar"]
    plain = class_vectors(lines(), labels, "words.txt")
    for text in (b"6 3\n" + WORDS, WORDS.replace(b"\n", b" \r\n"), WORDS.rstrip()):
        np.testing.assert_array_equal(class_vectors(lines(text), labels, "words.txt"), plain)


def test_words_are_found_by_their_lower_case_and_in_any_script() -> None:
    text = "apply 1 0\nAPPLY 0 1\nécole 0 -1\n.\u00a0. 3 3\n".encode()
    np.testing.assert_array_equal(class_vectors(lines(text), ["Apply", "École"], "words.txt"), [[1, 0], [0, -1]])


@given(st.lists(st.floats(-1e300, 1e300).filter(lambda number: abs(number) > 1e-8), min_size=1, max_size=5))
def test_vectors_have_length_1_whatever_the_numbers(numbers: list[float]) -> None:
    found = class_vectors([f"a {' '.join(map(repr, numbers))}".encode()], ["a"], "words.txt")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_lines_are_let_go_once_they_are_read() -> None:
    """100 MB of lines, of which one is kept."""
    numbers = b" 1" * 50_000
    many = ((b"guitar" if line == 500 else b"word") + numbers for line in range(1000))
    tracemalloc.start()
    class_vectors(many, ["guitar"], "words.txt")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20e6


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["nan", "inf", "-Infinity", "1e999", "0x1", "", "one"])
def test_numbers_that_are_none(number: str) -> None:
    refused(f"go 1 2\nguitar {number} 1\n".encode(), ["guitar"], "line 2", "guitar", "finite")


def test_a_name_with_spaces_is_no_word_of_a_label_and_no_damage() -> None:
    text = b"apply 1 0 0\n. . . 0.1 0.2 0.3\nat name@domain.com 1 1 1\neye 1 1 0\n"
    np.testing.assert_allclose(class_vectors(io.BytesIO(text), ["apply"], "words.txt"), [[1, 0, 0]])


@pytest.mark.parametrize(
    "bad", [b"guitar 1 2", b"other 1 2", b"guitar 1 2 3 4", b"other 1 2 3 4", b"guitar", b"", b"a b c"]
)
def test_a_line_of_another_length(bad: bytes) -> None:
    refused(b"apply 1 0 0\n" + bad + b"\neye 1 1 0\n", ["apply"], "line 2", "3 should")


def test_a_first_line_without_numbers() -> None:
    refused(b"apply\neye 1 1\n", ["apply"], "line 1", "0 numbers")


def test_a_first_line_that_promises_other_lines_than_there_are() -> None:
    refused(b"7 3\n" + WORDS, ["apply"], "line 1", "7 words", "6 are there")
    refused(b"6 4\n" + WORDS, ["apply"], "line 2", "4 should")


def test_nothing_at_all() -> None:
    refused(b"", ["apply"], "no word vectors")
    refused(b"0 3\n", ["apply"], "no word vectors")


def test_a_line_that_does_not_end_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.given += len(buffer)
            assert self.given < 4 * LINE_BYTES
            buffer[:] = b"1" * len(buffer)
            return len(buffer)

    with pytest.raises(InputError, match=r"^words.txt, line 1: it is longer than \d+ bytes"):
        class_vectors(lines_of(io.BufferedReader(Endless())), ["apply"], "words.txt")


def test_lines_of_a_file_are_its_lines() -> None:
    file = io.BufferedReader(io.BytesIO(WORDS))  # type: ignore[arg-type]
    assert list(lines_of(file)) == lines()


def test_a_word_that_comes_twice() -> None:
    refused(WORDS + b"eye 1 1 1\n", ["ApplyEyeMakeup"], "line 7", "eye", "second time")
    class_vectors(lines(WORDS + b"eye 1 1 1\n"), ["apply"], "words.txt")  # of no concern to this label


def test_vectors_without_a_direction() -> None:
    refused(b"apply 0 0\n", ["apply"], "line 1", "apply", "no direction")
    refused(b"apply 1.7e308 1.7e308\n", ["apply"], "line 1", "no direction")
    refused(b"up 1 2\ndown -2 -4\n", ["UpDown"], "UpDown", "no direction")


def test_all_labels_without_a_known_word_are_named() -> None:
    refused(WORDS, ["PlayingGuitar", "Sumo", "42", "guitar", "TaiChi"], "'Sumo', '42', 'TaiChi'")


def test_labels_that_cannot_be_told_apart_are_named() -> None:
    refused(
        WORDS + b"violin 0 7 7\n",
        ["eye 1", "Apply", "eye 2", "makeup", "Playing", "violin", "ApplyEye", "EyeApply"],
        "'eye 1' and 'eye 2', 'Playing' and 'violin', 'ApplyEye' and 'EyeApply'",
    )
