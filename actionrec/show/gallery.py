"""Small pictures with what is said of them: a grid of these is a part of a page, whatever the page is about."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from actionrec.show.tables import Measured

WIDTH = 144  # pixels
TALLEST = 2.0  # times the width: a taller frame loses its ends
QUALITY = 60  # of WebP; about 3 kB a picture


@dataclass(frozen=True)
class Thumbnail:
    """A picture, its name and some facts. Without a picture the place stays empty and the facts remain."""

    webp: bytes | None
    title: str
    facts: Sequence[tuple[str, str | Measured]] = ()  # what, and its value

    @property
    def url(self) -> str:
        return "data:image/webp;base64," + base64.b64encode(self.webp or b"").decode()


@dataclass(frozen=True)
class Gallery:
    """A grid of thumbnails; `small` ones stand closer."""

    thumbnails: Sequence[Thumbnail]
    left_out: str = ""  # what is said of those that are not shown
    small: bool = False
    kind: ClassVar[str] = "gallery"


def shrunk(frame_HWC: NDArray[np.uint8]) -> bytes:
    """A frame (RGB) made small, as WebP."""
    height, width = frame_HWC.shape[:2]
    most = round(width * TALLEST)
    if height > most:
        frame_HWC = frame_HWC[(height - most) // 2 :][:most]
    size = (WIDTH, max(1, round(frame_HWC.shape[0] * WIDTH / width)))
    small = cv2.resize(frame_HWC, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".webp", np.ascontiguousarray(small[:, :, ::-1]), [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done:  # without memory OpenCV raises nothing, and returns what it had so far
        raise MemoryError("OpenCV could not encode a picture of the page")
    return data.tobytes()
