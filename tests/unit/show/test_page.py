"""The page: all that comes from data is text, and nothing is fetched from anywhere."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from actionrec.show import page
from actionrec.show.page import Block, Section
from actionrec.show.tables import Grid

STAMP = page.Stamp("ab", "12", 0)
NASTY = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


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


def made(**block: object) -> str:
    return page.html("t", "s", STAMP, [Section("one", "One", [Block(**block)])])  # type: ignore[arg-type]


FRAME = np.zeros((24, 32, 3), np.uint8)


@pytest.mark.parametrize(
    "text",
    [
        page.html(NASTY, NASTY, STAMP, [Section("one", NASTY, [], NASTY)]),
        made(heading=NASTY, text=[NASTY], grid=Grid([NASTY], [[NASTY]], NASTY)),
        made(heading=NASTY, folded=True, thumbnails=[page.thumbnail(FRAME, NASTY)], svg="<svg></svg>", alt=NASTY),
    ],
)
def test_what_comes_from_data_is_text(text: str) -> None:
    tags = Tags(text).found
    assert not [tag for tag, _ in tags if tag == "script"]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_nothing_is_fetched() -> None:
    text = made(thumbnails=[page.thumbnail(FRAME, "black")], svg="<svg></svg>", alt="none")
    for tag, attributes in Tags(text).found:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert not re.search(r"url\(|@import|https?://", text)


def test_a_chapter_that_was_not_run_says_what_makes_it() -> None:
    text = page.html("t", "s", STAMP, [Section("one", "One", [], "actionrec evaluate --root R")])
    assert "Not run yet: actionrec evaluate --root R" in text


def test_a_long_table_is_cut_and_says_so() -> None:
    text = made(grid=Grid(["n"], [[place] for place in range(30)]), shown_rows=12)
    assert text.count("<td") == 12 and "and 18 more rows" in text


def test_a_thumbnail_keeps_the_shape_of_its_frame() -> None:
    import cv2

    small = cv2.imdecode(np.frombuffer(page.thumbnail(np.full((120, 320, 3), 200, np.uint8), "x").jpeg, np.uint8), 1)
    assert small.shape == (48, 128, 3) and abs(int(small.mean()) - 200) <= 2


def test_a_thumbnail_that_was_cut_for_want_of_memory_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.imencode", lambda *arguments: (False, np.zeros(9, np.uint8)))
    with pytest.raises(MemoryError, match="could not encode"):
        page.thumbnail(FRAME, "x")


def test_a_page_is_known_by_its_stamp() -> None:
    assert page.stamp_of(made(text=["<meta>"]).encode()) == STAMP
    assert page.stamp_of(b'<meta name="actionrec-digest" content="0123456789abcdef">') is None
