"""Class vectors from a file of word vectors: a class is where the words of its label are.

The format is the text of word2vec, GloVe and fastText: a line a word, `word v1 v2 ... vD`, below a line `count D` or
not. Such files have millions of lines: they are read as a stream, and only the words of the labels are kept.
Axes: C labels, D numbers of a vector.
"""

import io
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actionrec.errors import InputError

LINE_BYTES = 2**18  # the longest line that is read; 4096 numbers of 20 digits are a third of it
HEADER = re.compile(rb"(\d{1,12}) (\d{1,6})")
TINY = 1e-9  # a vector shorter than this points nowhere
SAME = 1e-7  # of a cosine: what float32 does not see

Vector = NDArray[np.float64]


def class_vectors(lines: Iterable[bytes], labels: Sequence[str], source: str) -> NDArray[np.float32]:
    """A vector of length 1 for each label, float32 [C, D]: the mean direction of those of its words that are known.

    `source` names the file in errors. Words are looked up in lower case. All lines are read and counted; the numbers of
    words that no label has are not looked at.

    InputError: a line that is too long or of another D, numbers that are none or not finite, a word of a label that
    comes twice or has a vector of length 0, fewer or more lines than the first one promises; labels of which no word is
    known; labels whose words cancel out, or whose vectors are equal, so that they cannot be told apart.
    """
    words = {label: words_of(label) for label in labels}
    known = _directions(lines, {word for each in words.values() for word in each}, source)
    if unknown := [label for label in words if not any(word in known for word in words[label])]:
        raise InputError(
            f"{source} has no word of {_quoted(unknown)}; use another file of word vectors, or rename them"
        )
    means = [
        _direction(
            np.mean([known[word] for word in words[label] if word in known], axis=0),
            f"{source}: the mean of the words of {label!r}",
        )
        for label in labels
    ]
    vectors_CD = np.array(means)
    _refuse_equal(vectors_CD, labels, source)
    return vectors_CD.astype(np.float32)


def words_of(label: str) -> list[str]:
    """The words of a label in lower case: apply, eye, makeup of ApplyEyeMakeup, apply_eye_makeup or apply-eye 2 makeup.

    A word ends at whatever is no letter, and before a capital that begins one: YMCADance is ymca, dance.
    """
    label = unicodedata.normalize("NFC", label)
    runs = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in label).split()  # M: accents, vowel signs
    return [word.lower() for run in runs for word in _at_capitals(run)]


def lines_of(file: io.BufferedReader) -> Iterator[bytes]:
    """The lines of an open file for `class_vectors`, of one that is too long no more than shows it."""
    return iter(lambda: file.readline(LINE_BYTES + 1), b"")


def _at_capitals(run: str) -> list[str]:
    begins = [
        place
        for place in range(1, len(run))
        if run[place].isupper() and (not run[place - 1].isupper() or run[place + 1 : place + 2].islower())
    ]
    return [run[start:end] for start, end in pairwise([0, *begins, len(run)])]


def _directions(lines: Iterable[bytes], wanted: set[str], source: str) -> dict[str, Vector]:
    """The vectors of those wanted words that are there, each of length 1."""
    encoded = {word.encode(): word for word in wanted}
    found: dict[str, Vector] = {}
    for number, name, numbers in _entries(lines, source):
        word = encoded.get(name)
        if word is None:
            continue
        if word in found:
            raise InputError(f"{source}, line {number}: the word {word!r} comes a second time; remove one of them")
        where = f"{source}, line {number}: the vector of {word!r}"
        found[word] = _direction(np.array([_number(field, where) for field in numbers.split(b" ")]), where)
    return found


def _entries(lines: Iterable[bytes], source: str) -> Iterator[tuple[int, bytes, bytes]]:
    """The number of each line, its word, and what follows it: in every line as many fields between single spaces.

    Not between whatever Python takes for a space: published words hold no-break spaces.
    """
    promised: int | None = None
    width = words = 0
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_BYTES:
            raise InputError(f"{source}, line {number}: it is longer than {LINE_BYTES} bytes; is it a file of words?")
        name, space, numbers = line.rstrip().partition(b" ")
        if number == 1 and (header := HEADER.fullmatch(line.rstrip())):
            promised, width = int(header[1]), int(header[2])
            continue
        fields = numbers.count(b" ") + len(space)
        width = width or fields
        if fields > width and not any(map(_is_number, numbers.split(b" ", fields - width)[:-1])):
            words += 1  # a name with spaces, as some published files have; no word of a label is one
            continue
        if fields == 0 or fields != width:
            raise InputError(
                f"{source}, line {number}: {fields} numbers follow the word, and {width or 'some'} should; "
                "a line is a word and its numbers, with single spaces between them"
            )
        words += 1
        yield number, name, numbers
    if not words:
        raise InputError(f"{source} has no word vectors; a line is a word and its numbers, with single spaces")
    if promised not in (None, words):
        raise InputError(f"{source}, line 1: {promised} words are promised, and {words} are there; get the file again")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _number(field: bytes, where: str) -> float:
    try:
        value = float(field)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{where} holds {field[:40].decode(errors='replace')!r}, which is no finite number; correct it"
        )
    return value


def _direction(vector_D: Vector, what: str) -> Vector:
    length = math.hypot(*vector_D)  # without squares, which could be too large
    if not TINY < length < math.inf:
        raise InputError(
            f"{what} has the length {length:.3g} and so no direction; correct the file or rename the label"
        )
    return vector_D / length


def _refuse_equal(vectors_CD: Vector, labels: Sequence[str], source: str) -> None:
    pairs = []
    for place, vector_D in enumerate(vectors_CD):
        equal = np.flatnonzero(vectors_CD[:place] @ vector_D > 1 - SAME)
        if len(equal):
            pairs.append(f"{labels[equal[0]]!r} and {labels[place]!r}")
    if pairs:
        raise InputError(
            f"{source} gives equal vectors to {', '.join(pairs)}, so nothing tells them apart; rename them"
        )


def _quoted(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) for label in labels)
