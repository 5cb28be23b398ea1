"""Rows for programs come back from a reader as they were, whatever is in them."""

import csv
import io
import json

import pytest

from actionrec.show import predictions, rows

NAMES = ["plain", 'a, "b"', "two\nlines", "ü, 日本", "=1+1", "<script>", "\udc80 of no encoding", "a\rb"]


def said(name: str, classes: int = 7) -> dict:
    top = [{"class": f"{name}{n}", "margin": 1 / (n + 3), "probability": None} for n in range(min(classes, 5))]
    return {
        "video": name,
        "ok": True,
        "top": top,
        "calibrated_on": 12,
        "anomaly": None,
        "times_s": [0.1],
        "streams": ["spatial", "audio"],
        "error": None,
    }


@pytest.mark.parametrize("classes", [2, 7])
def test_csv_and_json_come_back(classes: int, capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for form in rows.FORMS:
        rows.begin(form, predictions.COLUMNS)
        for name in NAMES:
            rows.row(form, said(name, classes), predictions.cells(said(name, classes), 1.5))
        shown[form] = capsys.readouterr().out
    escaped = [name.encode("utf-8", "backslashreplace").decode() for name in NAMES]
    read = list(csv.DictReader(io.StringIO(shown["csv"], newline="")))
    assert [row["video"] for row in read] == escaped
    assert [float(row["margin_2"]) for row in read] == [1 / 4] * len(NAMES)  # to the bit
    assert {row["class_3"] for row in read} == ({""} if classes == 2 else {f"{name}2" for name in escaped})
    assert all(row["ok"] == "true" and row["anomalous"] == "" and row["calibrated_on"] == "12" for row in read)
    assert [json.loads(line) for line in shown["json"].splitlines()] == [said(name, classes) for name in NAMES]


def test_a_failed_video_is_a_row_with_its_reason() -> None:
    failed = said("v") | {"ok": False, "top": [], "streams": [], "error": {"reason": "truncated", "detail": "8 of 9"}}
    cells = predictions.cells(failed, 0.0)
    assert tuple(cells) == predictions.COLUMNS
    assert (cells["ok"], cells["reason"], cells["detail"], cells["class"]) == (False, "truncated", "8 of 9", None)
