"""What Prometheus scrapes of an extraction: the counters, their labels, and the dashboard that names them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray.util.metrics

from actionrec.cluster import meters
from actionrec.errors import Reason, VideoError
from actionrec.extraction.part import Loaded, VideoFile, _measured
from actionrec.extraction.streams import Computed

DASHBOARD = Path(__file__).resolve().parents[3] / "docs/grafana.json"


class Counted:
    """Ray's counter, in this process."""

    seen: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def __init__(self, name: str, says: str, labels: tuple[str, ...]) -> None:
        self._name, self._labels = name, labels
        assert says

    def inc(self, amount: float, labels: Mapping[str, str]) -> None:
        assert amount > 0 and set(labels) == set(self._labels)
        key = self._name, frozenset(labels.items())
        self.seen[key] = self.seen.get(key, 0.0) + amount


def test_videos_failures_and_seconds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "seen", {}, raising=False)
    monkeypatch.setattr(ray.util.metrics, "Counter", Counted)
    counters = meters.Meters()
    counters.video({"read": 0.5, "decode": 0.0, "flow": 2.0}, {})
    counters.video({"read": 0.25}, {"audio": "corrupt", "flow": "corrupt"})
    assert {name + str(dict(labels)): value for (name, labels), value in Counted.seen.items()} == {
        "actionrec_videos{'outcome': 'ok'}": 1,
        "actionrec_videos{'outcome': 'failed'}": 1,
        **{
            f"actionrec_failures{dict(frozenset({'stream': stream, 'reason': 'corrupt'}.items()))}": 1
            for stream in ("audio", "flow")
        },
        "actionrec_step_seconds{'step': 'read'}": 0.75,
        "actionrec_step_seconds{'step': 'flow'}": 2.0,
    }


def test_what_is_measured_of_a_video_are_its_steps_and_why_streams_of_it_failed() -> None:
    loaded = Loaded(VideoFile("a.mp4", "a.mp4", 9), read_s=0.5, decode_s=0.25)
    computed = {"flow": Computed({}, None, 2.0), "audio": Computed(None, VideoError(Reason.CORRUPT, "cut"), 0.125)}
    assert _measured(loaded, computed) == (
        {"read": 0.5, "decode": 0.25, "flow": 2.0, "audio": 0.125},
        {"audio": "corrupt"},
    )


def queries() -> list[str]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_dashboard_asks_for_the_counters_and_no_others() -> None:
    asked = {name for query in queries() for name in re.findall(r"\w*actionrec\w*", query)}
    assert asked == {f"ray_{row.name}_total" for row in meters.METERS}  # as Ray serves them


def test_the_dashboard_goes_by_labels_that_there_are() -> None:
    for query in queries():
        named = set(re.findall(r"(\w+)=", query)) | {
            label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")
        }
        rows = [row for row in meters.METERS if f"ray_{row.name}_total" in query]
        assert named <= {label for row in rows for label in row.labels}, query
