"""The file that segments are cut from is fetched once for all that come together, and a failure is not kept."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from actionrec.extraction.part import LastFile


def test_threads_that_want_one_file_at_once_share_a_fetch() -> None:
    last, fetched, all_wait = LastFile(), [], threading.Barrier(4)

    def fetch() -> bytes:
        fetched.append("x")
        return b"data"

    def ask(_: int) -> bytes:
        all_wait.wait(60)
        return last.read("x", fetch)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [b"data"] * 4
    assert fetched == ["x"]


def test_one_file_is_held_and_a_failure_is_not() -> None:
    last, fetched = LastFile(), []

    def read(key: str) -> bytes:
        def fetch() -> bytes:
            fetched.append(key)
            if fetched == ["x"]:
                raise FileNotFoundError(key)
            return key.encode()

        return last.read(key, fetch)

    with pytest.raises(FileNotFoundError):
        read("x")
    assert [read(key) for key in "xxyyx"] == [b"x", b"x", b"y", b"y", b"x"]
    assert fetched == ["x", "x", "y", "x"]
