"""The page: all that comes from data is text, nothing is fetched from anywhere, and colours can be told apart."""

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from actionrec.show import page
from actionrec.show.gallery import Gallery, Thumbnail
from actionrec.show.marks import PALETTE
from actionrec.show.page import Block, Heading, Section
from actionrec.show.parts import (
    Card,
    Cards,
    Cell,
    Command,
    Drawing,
    Drawings,
    Legend,
    Matrix,
    Part,
    Scale,
    Strip,
    Strips,
    Table,
    Tile,
    Tiles,
)
from actionrec.show.tables import Grid, Measured

STAMP = page.Stamp("ab", "12", 0, "2026-11-24")
NASTY = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
FIGURE = Measured(NASTY, NASTY)
SVG = "<svg></svg>"
THUMBNAIL = Thumbnail(b"webp", NASTY, [("is", NASTY), ("score", FIGURE)])
PARTS: list[Part] = [
    Tiles([Tile(NASTY, FIGURE, NASTY)]),
    Command(NASTY),
    Drawing(SVG, NASTY, SVG),
    Drawings([Drawing(SVG, NASTY)]),
    Legend([(SVG, NASTY)]),
    Table(Grid([NASTY], [[NASTY], [FIGURE]], NASTY), NASTY),
    Strips([Strip(NASTY, SVG, FIGURE)], NASTY, (NASTY, NASTY)),
    Scale(SVG, NASTY, (NASTY, NASTY), 50.0, NASTY),
    Matrix([NASTY], [[Cell(3, 0.5, NASTY)]], [6]),
    Cards([Card(NASTY, [THUMBNAIL, Thumbnail(None, NASTY)], 0.5, FIGURE, NASTY)]),
    Gallery([THUMBNAIL, Thumbnail(None, NASTY)], NASTY),
    Gallery([THUMBNAIL], small=True),
]


class Tags(HTMLParser):
    """Every element of a page, and that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole(*sections: Section, title: str = "t") -> str:
    return page.html(Heading("report", title, [title]), STAMP, sections)


def made(*parts: Part, **block: object) -> str:
    return whole(Section("first", "First"), Section("one", "One", [Block(parts=parts, **block)]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        whole(Section("first", NASTY), Section("one", NASTY, [], NASTY), title=NASTY),
        made(heading=NASTY, text=[NASTY], note=NASTY),
        made(heading=NASTY, folded=True),
        *map(made, PARTS),
    ],
)
def test_what_comes_from_data_is_text(text: str) -> None:
    tags = Tags(text).found
    assert not [tag for tag, _ in tags if tag == "script"]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert" in text


def test_every_part_has_its_look() -> None:
    """A part that the template does not know would be an error; one that it forgets, an empty page."""
    assert all(len(made(part)) > len(made()) + 40 for part in PARTS)


def test_nothing_is_fetched() -> None:
    text = made(*PARTS)
    for tag, attributes in Tags(text).found:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert not re.search(r"url\(|@import|https?://", text)


def test_a_word_without_which_a_figure_is_misread_shares_its_cell() -> None:
    text = made(Table(Grid(["top-1"], [[Measured("36.7 %", "random")]]), "x"))
    assert re.search(r"<td[^>]*>36\.7 %<span class=\"mark\">random</span></td>", text)


def test_a_chapter_that_was_not_run_says_what_makes_it() -> None:
    text = whole(Section("first", "First"), Section("one", "One", [], "actionrec evaluate --root R"))
    assert "Not run yet: <code>actionrec evaluate --root R</code>" in text


def test_a_long_table_is_cut_and_says_so() -> None:
    text = made(Table(Grid(["n"], [[place] for place in range(3030)]), "n", 12))
    assert text.count("<td") == 12 and "and 3,018 more rows" in text


def test_a_page_is_known_by_its_stamp() -> None:
    found = page.stamp_of(made(text=["<meta>"]).encode())
    assert found == STAMP and found is not None and found.day == STAMP.day
    assert page.stamp_of(b'<meta name="actionrec-digest" content="0123456789abcdef">') is None


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("by_night", [False, True])
def test_everything_can_be_read_by_day_and_by_night(by_night: bool) -> None:
    """WCAG AA: text has a contrast of 4.5, the marks of a drawing one of 3."""
    style = Path(page.__file__).with_name("page.css").read_text(encoding="utf-8")
    values = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", each)) for each in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len(values) == 2
    own = values[by_night]
    for text, behind in itertools.product(("ink", "soft", "accent", "warn"), ("page", "tint")):
        assert contrast(own[text], own[behind]) >= 4.5, (text, behind)
    for colours in PALETTE:
        assert contrast(colours[by_night], own["page"]) >= 3, colours
