"""Drawings of the page's own hand: well-formed, harmless whatever a class is called, legible for 2 and 101 classes."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from actionrec.show import confusion, strips
from actionrec.show.marks import PALETTE, SHAPES, colour, shape, swatch
from actionrec.show.scatter import NARROW, ROOMY, Canvas, Point, scatter

SVG = "{http://www.w3.org/2000/svg}"
NASTY = ["<script>alert(1)</script>", 'танок "гопак"', "$x^{2", "a & b", "</svg>", "x" * 200]


def titles(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}title")]


def mapped(labels: list[str], canvas: Canvas = ROOMY, each: int = 3) -> str:
    """A map of a few points of each class, the classes far from each other."""
    rng = np.random.default_rng(0)
    points = [
        Point(f"{label}/{n}.mp4", label, split, "другий" if split == "test" else None)
        for label in labels
        for n, split in enumerate(("train", "val", "test")[:each])
    ]
    middles = np.repeat(rng.uniform(0, 100, (len(labels), 2)), each, axis=0)
    numbers = {label: number for number, label in enumerate(labels)}
    return scatter(points, middles + rng.normal(size=middles.shape), numbers, canvas)


def test_101_classes_have_101_marks() -> None:
    assert len({(colour(place), shape(place)) for place in range(len(PALETTE) * len(SHAPES))}) >= 101


@pytest.mark.parametrize("canvas", [ROOMY, NARROW])
def test_a_map_is_well_formed_and_runs_nothing(canvas: Canvas) -> None:
    svg = mapped(NASTY, canvas)
    tags = {each.tag.rpartition("}")[2] for each in ET.fromstring(svg).iter()}
    assert tags <= {"svg", "defs", "path", "use", "circle", "text", "title"}
    assert mapped(NASTY, canvas) == svg


def test_a_map_names_its_videos_their_class_and_what_they_were_taken_for() -> None:
    found = titles(mapped(["біг", "стрибок"]))
    assert "біг/0.mp4: біг, train" in found and "біг/2.mp4: біг, test; taken for другий" in found
    assert len(found) == 6 and not titles(mapped(["біг", "стрибок"], NARROW))


def test_splits_and_errors_have_their_own_marks() -> None:
    tree = ET.fromstring(mapped(["a", "b"]))
    kinds = [each.attrib["class"].split()[1] for each in tree.iter(f"{SVG}use")]
    assert sorted(kinds) == ["test", "test", "train", "train", "val", "val"]
    assert len(list(tree.iter(f"{SVG}circle"))) == 2


@pytest.mark.parametrize(("classes", "canvas"), [(2, ROOMY), (2, NARROW), (101, ROOMY), (101, NARROW)])
def test_labels_do_not_cover_each_other_and_stay_inside(classes: int, canvas: Canvas) -> None:
    boxes = []
    for each in ET.fromstring(mapped([f"DoingSomething{n}" for n in range(classes)], canvas)).iter(f"{SVG}text"):
        half, x, y = len(each.text or "") * 0.3 * canvas.font, float(each.attrib["x"]), float(each.attrib["y"])
        assert half <= x <= canvas.width - half and 0 < y < canvas.height
        boxes.append((x, y, half))
    assert len(boxes) >= min(classes, 12)
    for place, (x, y, half) in enumerate(boxes):
        assert not [o for o in boxes[:place] if abs(x - o[0]) < half + o[2] and abs(y - o[1]) < canvas.font]


@pytest.mark.parametrize("kind", ["train", "val", "test", "wrong"])
def test_a_swatch_is_a_small_drawing(kind: str) -> None:
    ET.fromstring(swatch(3, kind))
    assert swatch(3, kind) != swatch(4, kind) and swatch(None, kind) != swatch(None, "other")


def test_a_large_matrix_has_no_number_and_says_all_on_hover() -> None:
    labels = [*NASTY, *(f"c{n}" for n in range(95))]
    counts = [[5 if row == column else int(column == row + 1) for column in range(101)] for row in range(101)]
    svg = confusion.picture(confusion.matrix(labels, counts, [6] * 101))
    assert not list(ET.fromstring(svg).iter(f"{SVG}text"))
    said = titles(svg)
    assert len(said) == 201 and f"{NASTY[0]} taken for {NASTY[1]}: 1 of 6" in said


def test_a_huge_matrix_leaves_out_its_smallest_squares() -> None:
    labels = [f"c{n}" for n in range(100)]
    counts = [[1 + (row + column) % 3 for column in range(100)] for row in range(100)]
    of = confusion.matrix(labels, counts, [200] * 100)
    assert confusion.fewest_shown(of) == 3 and len(titles(confusion.picture(of))) <= confusion.MOST_SQUARES
    assert confusion.fewest_shown(confusion.matrix(["a"], [[7]], [7])) == 1


def test_a_share_is_as_long_as_it_is_large() -> None:
    svg = strips.interval(0.5, 0.25, 0.75, 0.931)
    assert "M50.00,10h" in svg and "M25.00,10H75.00" in svg and "M93.10,3V17" in svg
    assert "span" not in strips.interval(0.5, None, None) and "dot" not in strips.interval(None, None, None)


def test_a_scale_is_split_at_its_threshold() -> None:
    svg = strips.scale([(3.0, "test"), (1.0, "train"), (2.0, "test")], 2.0, 4.0)
    assert re.findall(r'd="M([0-9.]+),(\d+)V36" class="(\w+)"', svg) == [
        ("75.00", "8", "above"),
        ("25.00", "14", "below"),
        ("50.00", "8", "below"),
    ]
    assert 'd="M50.00,0V40" class="threshold"' in svg
    assert "nan" not in strips.scale([(0.0, "test")], 0.0, 0.0)
