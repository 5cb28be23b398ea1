"""One of a thing is not spoken of as of many."""

import pytest

from actionrec.show import words
from actionrec.show.words import counted, short


@pytest.mark.parametrize(("number", "said"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (1200, "1,200 trials")])
def test_one_is_singular(number: int, said: str) -> None:
    assert counted(number, "trial") == said


def test_some_plurals_are_given() -> None:
    assert [counted(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]


def test_lengths_and_sizes_are_in_the_unit_in_which_they_are_at_least_one() -> None:
    said = [words.duration(seconds) for seconds in (0, 0.254, 9.96, 59.4, 59.6, 60, 3590, 5400, 97_200, 3.6e6)]
    assert said == ["0 s", "0.25 s", "10 s", "59 s", "1 min", "1 min", "1 h", "1.5 h", "27 h", "1,000 h"]
    said = [words.size(count) for count in (0, 999, 4736, 999_900, 284.2e6, 1.046e9, 2.5e12)]
    assert said == ["0 bytes", "999 bytes", "4.7 kB", "1 MB", "284 MB", "1 GB", "2.5 TB"]


def test_a_rate_below_one_a_second_is_how_long_one_takes() -> None:
    said = [words.rate(rate, things) for rate, things in ((12.4, "videos"), (1, "clips"), (1 / 12, "epochs"))]
    assert said == ["12 videos/s", "1 clips/s", "12 s an epoch"]
    assert words.rate(1 / 150, "trials") == "2.5 min a trial"


def test_what_is_too_long_keeps_its_ends() -> None:
    assert short("Archery", 7) == "Archery" and short("abcdefghij", 6) == "abc…ij"
    assert len(short("x" * 200)) == 28
