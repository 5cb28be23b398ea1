"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a time is no test
settings.load_profile("any machine")

# Two threads of one network that share a core wait for each other at every layer: on a busy machine that took ten times
# as long as one thread. Read as numpy and torch are first imported, by tests and by the processes that they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests are given the longest come first: all would wait for a long one that is begun last."""
    allowed_s: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        allowed_s[item.path] = max(allowed_s.get(item.path, 0.0), mark.args[0] if mark else 0.0)
    items.sort(key=lambda item: ("unit" in item.path.parts, -allowed_s[item.path]))


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[tuple[str, str]]:
    """(endpoint, bucket) of an in-memory S3 server on the loopback. A mock: real servers are tested elsewhere."""
    import boto3
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
        yield endpoint, "bucket"
        server.stop()
