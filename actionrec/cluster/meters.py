"""What Prometheus can scrape of an extraction, by Ray's own metrics: one process's share, which Ray adds labels to.

Ray serves them on each node, with `ray_` before the name and `_total` behind it: docs/tracking.md, docs/grafana.json.
Labels are names of streams and steps, and reasons of errors.Reason: never a video's, or each would be a series.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MeterRow:
    """One counter."""

    name: str
    says: str
    labels: tuple[str, ...]


VIDEOS = MeterRow("actionrec_videos", "Videos that are done, by whether a stream of them failed.", ("outcome",))
FAILURES = MeterRow("actionrec_failures", "Streams of videos that failed.", ("stream", "reason"))
SECONDS = MeterRow("actionrec_step_seconds", "Seconds spent on videos: reading, decoding, each stream.", ("step",))
METERS = (VIDEOS, FAILURES, SECONDS)


class Meters:
    """The counters of this process, which must be a worker of Ray's."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter

        self._counters = {row: Counter(row.name, row.says, row.labels) for row in METERS}

    def video(self, seconds: Mapping[str, float], reasons: Mapping[str, str]) -> None:
        """One more is done: what each step took, and of the streams that failed the reasons."""
        self._add(VIDEOS, 1, outcome="failed" if reasons else "ok")
        for stream, reason in reasons.items():
            self._add(FAILURES, 1, stream=stream, reason=reason)
        for step, taken_s in seconds.items():
            self._add(SECONDS, taken_s, step=step)

    def _add(self, row: MeterRow, amount: float, **labels: str) -> None:
        if amount > 0:  # Ray refuses to add nothing
            self._counters[row].inc(amount, labels)
