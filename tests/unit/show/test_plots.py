"""The report's pictures: well-formed, the same bytes for the same numbers, harmless whatever a class is called."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from actionrec.show import plots

NASTY = ["<script>alert(1)</script>", 'танок "гопак"', "$x^{2", "a & b", "</svg>"]
HISTORY = [{"train_loss": 2.0 / n, "val_loss": 1.0 + abs(n - 3)} for n in range(1, 6)]
TIMES = np.arange(10) / 25

DRAWN: dict[str, Callable[[], str]] = {
    "intervals": lambda: plots.intervals("i", [(name, 0.5, 0.4, 0.6, None) for name in NASTY], NASTY[1]),
    "one": lambda: plots.intervals("o", [(NASTY[0], 0.5, None, None, 0.931)], None),
    "curves": lambda: "".join(["<g>", *(plots.curves(name, HISTORY) for name in NASTY), "</g>"]),
    "motion": lambda: plots.motion("m", TIMES, TIMES**2, {"adaptive": TIMES[5:], "constant": TIMES[::2]}),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_well_formed_says_its_names_and_runs_nothing(name: str) -> None:
    svg = DRAWN[name]()
    tree = ET.fromstring(svg)
    assert not [each for each in tree.iter() if each.tag.rpartition("}")[2].lower() in ("script", "foreignobject")]
    assert "currentColor" in svg and plots.INK not in svg
    said = "".join(tree.itertext())
    if name not in ("motion", "one"):
        assert all(each in said for each in NASTY)


@pytest.mark.parametrize("name", DRAWN)
def test_equal_numbers_give_equal_bytes(name: str) -> None:
    assert DRAWN[name]() == DRAWN[name]()


@pytest.mark.parametrize("name", ["curves", "motion"])
def test_no_word_is_small_on_a_telephone(name: str) -> None:
    """A drawing fills 358 of a telephone's 390 pixels; its words are then 10 pixels high or more."""
    for svg in re.findall(r"<svg.*?</svg>", DRAWN[name](), re.DOTALL):
        width = float(re.search(r'viewBox="0 0 ([0-9.]+)', svg)[1])  # type: ignore[index]
        sizes = [float(each) for each in re.findall(r"font-size: ([0-9.]+)px", svg)]
        assert sizes and min(sizes) * 358 / width >= 10, (min(sizes), width)


def test_ids_of_two_pictures_do_not_meet() -> None:
    def ids(svg: str) -> set[str]:
        return {each.attrib["id"] for each in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}clipPath")}

    one, other = (plots.curves(name, HISTORY) for name in ("one", "other"))
    assert ids(one) and not ids(one) & ids(other)
