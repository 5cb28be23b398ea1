"""The house: what the contracts on imports cannot say."""

import ast
import re
from collections import Counter
from pathlib import Path

import grimp
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = {
    path.relative_to(CHECKOUT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((CHECKOUT / "actionrec").rglob("*.py"))
}
BELOW_ALL = {"schema", "config", "errors", "blame", "patience", "unpacked"}


def test_no_two_classes_have_one_name() -> None:
    names = Counter(node.name for tree in FILES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def imports(tree: ast.Module) -> set[str]:
    """Of what a file imports as it is imported itself, the first words."""
    found = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [each.module or "" if isinstance(each, ast.ImportFrom) else each.names[0].name for each in found]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("file", [file for file, tree in FILES.items() if "ray" in imports(tree)])
def test_rays_settings_stand_before_it_is_imported(file: str) -> None:
    room = file.split("/")[1]
    begins = ast.unparse(FILES[f"actionrec/{room}/__init__.py"])
    assert room == "cluster" or "import actionrec.cluster" in begins, "Ray reads them once, as it is imported"


def test_the_picture_of_the_imports_is_of_these_imports() -> None:
    """Where it fails: bring the arrows of the first picture in docs/imports.md up to what the message names."""
    graph = grimp.build_graph("actionrec", cache_dir=None, include_external_packages=True)
    arrows = {
        (one.split(".")[1], other.split(".")[-1 if other == "ray" else 1])
        for one in graph.modules
        for other in graph.find_modules_directly_imported_by(one)
        if one.count(".") and (other == "ray" or other.startswith("actionrec."))
    }
    there = {pair for pair in arrows if pair[0] != pair[1] and BELOW_ALL.isdisjoint(pair)}
    text = (CHECKOUT / "docs/imports.md").read_text(encoding="utf-8").partition("## Before")[0]
    drawn = set(re.findall(r"(\w+) --> (\w+)", text))
    assert {"missing": there - drawn, "no longer": drawn - there} == {"missing": set(), "no longer": set()}
