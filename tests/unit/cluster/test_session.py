"""What a session does around Ray's own start and end."""

import signal
from typing import Any

import pytest
import ray

from actionrec.cluster import session


def test_a_job_that_is_stopped_while_ray_starts_ends_as_at_any_other_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def starting(*given: Any, **named: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: exit(number))  # as Ray does, early in its start
        signal.raise_signal(signal.SIGTERM)

    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    monkeypatch.setattr(ray, "init", starting)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token, so that none is made which other tests would inherit")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    try:
        with pytest.raises(SystemExit), session.session():
            raise AssertionError("it never starts")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]
