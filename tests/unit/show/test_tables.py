"""Markdown that shows what it was given, whatever a class is called."""

import pytest

from actionrec.show.tables import Grid, Measured, escape, markdown, measured, percent, share


def test_a_table_by_hand() -> None:
    assert markdown(
        Grid(["class", "videos", "best"], [["a", 3, True], ["b", 0.123456, False], [None, None, None]])
    ) == ("| class | videos | best |\n| --- | ---: | --- |\n| a | 3 | yes |\n| b | 0.1235 | no |\n|  |  |  |\n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("one\ntwo\r\nthree", "one two  three"),
        ("&lt;", "&amp;lt;"),
        ("![x](http://y)", r"!\[x\](http://y)"),
        ("**бій**", r"\*\*бій\*\*"),
        ("back\\|slash", r"back\\\|slash"),
    ],
)
def test_a_name_means_nothing(name: str, shown: str) -> None:
    assert escape(name) == shown
    assert markdown(Grid(["class"], [[name]])).splitlines()[2:] == [f"| {shown} |"]  # one line, one cell


def test_percent() -> None:
    assert percent(0.8125) == "81.2 %" and percent(0.0) == "0.0 %" and percent(None) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234567, "1,234,567"), (7, "7"), (1234.5, "1,234"), (0.123456, "0.1235"), (1e-05, "1e-05"), (60.0, "60")],
)
def test_numbers_have_one_format(value: float, shown: str) -> None:
    assert markdown(Grid(["n"], [[value]])).splitlines()[2] == f"| {shown} |"
    assert str(measured(value)) == shown


def test_what_a_figure_is_misread_without_stands_in_its_cell() -> None:
    text = markdown(Grid(["top-1", "score"], [[share(0.5, "random"), measured(None)], [None, Measured("1.2")]]))
    assert text.splitlines()[1:] == ["| ---: | ---: |", "| 50.0 % (random) |  |", "|  | 1.2 |"]
