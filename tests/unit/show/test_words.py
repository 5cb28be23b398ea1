"""One of a thing is not spoken of as of many."""

import pytest

from actionrec.show.words import counted, short


@pytest.mark.parametrize(("number", "said"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (1200, "1,200 trials")])
def test_one_is_singular(number: int, said: str) -> None:
    assert counted(number, "trial") == said


def test_some_plurals_are_given() -> None:
    assert [counted(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]


def test_what_is_too_long_keeps_its_ends() -> None:
    assert short("Archery", 7) == "Archery" and short("abcdefghij", 6) == "abc…ij"
    assert len(short("x" * 200)) == 28
