"""Thumbnails keep the shape of their frames, and are whole or not there."""

import cv2
import numpy as np
import pytest

from actionrec.show import gallery


def opened(frame_HWC: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(gallery.shrunk(frame_HWC), np.uint8), 1))


def test_a_thumbnail_keeps_the_shape_of_its_frame() -> None:
    small = opened(np.full((120, 320, 3), 200, np.uint8))
    assert small.shape == (54, gallery.WIDTH, 3) and abs(int(small.mean()) - 200) <= 3


def test_red_stays_red() -> None:
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    assert opened(red)[20, 20].argmax() == 2  # OpenCV's order is blue, green, red


def test_a_frame_that_is_a_ribbon_loses_its_ends() -> None:
    ribbon = np.zeros((4000, 40, 3), np.uint8)
    ribbon[1990:2010] = 255
    small = opened(ribbon)
    assert small.shape == (round(gallery.TALLEST * gallery.WIDTH), gallery.WIDTH, 3) and small[144].mean() > 200


def test_a_thumbnail_that_was_cut_for_want_of_memory_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.imencode", lambda *arguments: (False, np.zeros(9, np.uint8)))
    with pytest.raises(MemoryError, match="could not encode"):
        gallery.shrunk(np.zeros((24, 32, 3), np.uint8))
