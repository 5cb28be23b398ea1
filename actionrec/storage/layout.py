"""Where everything lies under a root: the only place that spells a key."""

import re

CONFIG = "config.yaml"
CATALOG = "catalog.parquet"
PLANS = "features/plan/"
STATUS = "features/status/"
EXTRACT_STAGE = "features/stage.json"  # the extract stage's fingerprint, written when the stage first starts
EXTRACT_STREAMS = ("spatial", "flow", "audio")  # what one decode of a video yields


def plan(generation: int) -> str:
    """The parts planned by the `generation`-th extract that found new videos."""
    return f"{PLANS}{generation:06d}.parquet"


def feature(stream: str, part: int) -> str:
    return f"{features(stream)}part-{part:06d}.parquet"


def features(stream: str) -> str:
    return f"features/{stream}/"


def commit_mark(part: int) -> str:
    """Written last: a part is trusted only when this key exists."""
    return f"{STATUS}extract-{part:06d}.parquet"


def part_of_mark(key: str) -> int | None:
    """The part that a key under STATUS commits, or None for a key of another kind."""
    return _number(f"{STATUS}extract-", key)


def part_of_feature(stream: str, key: str) -> int | None:
    """The part that a key of a stream's features holds, or None for a key of another kind."""
    return _number(f"{features(stream)}part-", key)


def _number(prefix: str, key: str) -> int | None:
    found = re.fullmatch(re.escape(prefix) + r"([0-9]{6,9})\.parquet", key)
    return int(found[1]) if found else None
