"""Who is told where the work stands, as a worker sees it. Knows neither Ray nor the networks."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from actionrec.errors import Reason, VideoError

T = TypeVar("T")

CRASHES = 3  # a video that has ended its worker this often is given up


def turned(videos: Sequence[T], times: int) -> list[T]:
    """A part's videos, from another third on each time that the part is begun. Where bad ones lie side by side, good
    ones then come between their deaths, and the worker is not taken for one that dies at whatever it is given."""
    first = times % 3 * len(videos) // 3
    return [*videos[first:], *videos[:first]]


class Watcher:
    """Is told where the work stands. This one does not care; the driver's reports it across the cluster."""

    def begin(self, part: int, videos: int) -> int:
        """A part of so many videos is about to be computed; returns how often it was begun before. ActionrecError where
        it has ended its worker too often."""
        return 0

    def starting(self, part: int, video_id: str) -> int:
        """A video is about to be computed; returns how often that has ended a worker."""
        return 0

    def last_words(self, part: int, video_id: str) -> str:
        """What the worker said that this video ended last; empty where it ended without a word."""
        return ""

    def finished(self, part: int, video_id: str, failed: bool) -> None:
        """One video more is done."""

    def measured(self, seconds: Mapping[str, float], reasons: Mapping[str, str]) -> None:
        """What each step of a video took, and of its streams that failed the reasons: for whoever counts."""

    def given_up(self, part: int, video_id: str, crashes: int) -> VideoError | None:
        """Why a video that has ended so many workers is not computed again; None where it is to be computed."""
        if crashes < CRASHES:
            return None
        told = f"computing this video ended its worker {crashes} times"
        return VideoError(Reason.WORKER_CRASH, ": ".join(filter(None, [told, self.last_words(part, video_id)])))
