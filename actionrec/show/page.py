"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere.

Everything that comes from data goes through Jinja's escaping; only SVG that `plots` drew is put in as it is.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from actionrec.show.tables import Grid

TEMPLATE = "page.html"
THUMBNAIL_WIDTH = 128
JPEG_QUALITY = 75
SHOWN_ROWS = 200  # of a table, unless its block says otherwise; the whole of it lies under the root


@dataclass(frozen=True)
class Thumbnail:
    """A frame and what is said of it."""

    jpeg: bytes
    caption: str

    @property
    def url(self) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


@dataclass(frozen=True)
class Block:
    """A part of a section: what it has of a heading, sentences, a drawing, frames and a table, in this order."""

    heading: str = ""
    text: Sequence[str] = ()
    svg: str = ""
    alt: str = ""  # what the drawing shows, for those who do not see it
    thumbnails: Sequence[Thumbnail] = ()
    grid: Grid | None = None
    shown_rows: int = SHOWN_ROWS
    folded: bool = False  # whether the table waits behind its heading
    lacking: int = 0  # videos of which `text` says that their frames cannot be had now, but may be another time

    @property
    def drawing(self) -> Markup:
        return Markup(self.svg)  # of plots, whose text matplotlib has escaped

    @property
    def rows(self) -> list[list[str]]:
        return self.grid.cells()[: self.shown_rows] if self.grid else []

    @property
    def left_out(self) -> int:
        return max(0, len(self.grid.rows) - self.shown_rows) if self.grid else 0


@dataclass(frozen=True)
class Section:
    """One subject of the report. Without blocks it has not been run, and `missing` says what makes it."""

    name: str  # its anchor
    title: str
    blocks: Sequence[Block] = ()
    missing: str = ""


@dataclass(frozen=True)
class Stamp:
    """What a page carries, by which a later run knows whether it would make another."""

    results: str  # a hash of the results that it shows
    settings: str  # and of what else it was made with
    lacking: int  # videos of which it lacks frames

    def __str__(self) -> str:
        return f"{self.results} {self.settings} {self.lacking}"


_STAMP = re.compile(rb'<meta name="actionrec-digest" content="([0-9a-f]+) ([0-9a-f]+) ([0-9]+)">')


def stamp_of(data: bytes) -> Stamp | None:
    """The stamp of a page; None: it is none of this release."""
    found = _STAMP.search(data[:4096])
    return Stamp(found[1].decode(), found[2].decode(), int(found[3])) if found else None


def html(title: str, subtitle: str, stamp: Stamp, sections: Sequence[Section]) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(title=title, subtitle=subtitle, stamp=stamp, sections=sections)


def thumbnail(frame_HWC: NDArray[np.uint8], caption: str) -> Thumbnail:
    """A frame (RGB) made small."""
    height, width = frame_HWC.shape[:2]
    size = (THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width)))
    small = cv2.resize(frame_HWC, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:  # without memory OpenCV raises nothing, and returns what it had so far
        raise MemoryError("OpenCV could not encode a picture of the report")
    return Thumbnail(data.tobytes(), caption)
