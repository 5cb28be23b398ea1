"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere.

Everything that comes from data goes through Jinja's escaping; only SVG that this room drew is put in as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from actionrec.show.marks import PALETTE
from actionrec.show.parts import Part
from actionrec.show.words import short

TEMPLATE = "page.html"


@dataclass(frozen=True)
class Block:
    """A piece of a section: what it has of a heading, sentences, and parts, in this order."""

    heading: str = ""
    text: Sequence[str] = ()
    parts: Sequence[Part] = ()
    note: str = ""  # smaller, below the parts
    folded: bool = False  # whether it waits behind its heading


@dataclass(frozen=True)
class Section:
    """One subject of the page. Without blocks it has not been run, and `missing` says what makes it."""

    name: str  # its anchor
    title: str
    blocks: Sequence[Block] = ()
    missing: str = ""


@dataclass(frozen=True)
class Heading:
    """What stands above everything."""

    kind: str  # what kind of page this is
    title: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Stamp:
    """What a page carries, by which a later run knows whether it would make another."""

    results: str  # a hash of the results that it shows
    settings: str  # and of what else it was made with
    lacking: int  # videos of which it lacks frames
    day: str = field(default="", compare=False)  # when a page of these results was first made, 2026-11-24

    def __str__(self) -> str:
        return f"{self.results} {self.settings} {self.lacking} {self.day}"


_STAMP = re.compile(rb'<meta name="actionrec-digest" content="([0-9a-f]+) ([0-9a-f]+) ([0-9]+) (\d{4}-\d\d-\d\d|)">')


def stamp_of(data: bytes) -> Stamp | None:
    """The stamp of a page; None: it is none of this release."""
    found = _STAMP.search(data[:4096])
    return Stamp(found[1].decode(), found[2].decode(), int(found[3]), found[4].decode()) if found else None


def html(head: Heading, stamp: Stamp, sections: Sequence[Section]) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["short"] = short
    return environment.get_template(TEMPLATE).render(head=head, stamp=stamp, sections=sections, palette=PALETTE)
