"""Markdown that shows what it was given, whatever a class is called."""

import pytest

from actionrec.show.tables import Grid, escape, markdown, percent


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
