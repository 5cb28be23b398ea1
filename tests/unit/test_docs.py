"""What the documents name is there."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_test_that_stands_for_a_fault_exists() -> None:
    text = (CHECKOUT / "docs/faults.md").read_text(encoding="utf-8")
    named = re.findall(r"([a-z_/0-9]+\.py)::(test_\w+)", text)
    rows = re.findall(r"^\| ([0-9]+) \|.*", text, re.MULTILINE)
    assert {int(number) for number in rows} == set(range(1, 41))
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"^ *def {name}\(", (CHECKOUT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(named) > 50 and missing == []


def test_every_file_that_security_names_exists() -> None:
    text = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")
    places = re.findall(r"tests/[a-z_/]+(?:\.py)?", text)
    assert len(places) > 5 and [place for place in places if not (CHECKOUT / place).exists()] == []
