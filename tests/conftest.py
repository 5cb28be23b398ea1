"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a time is no test
settings.load_profile("any machine")

# Two threads of one network that share a core wait for each other at every layer: on a busy machine that took ten times
# as long as one thread. Read as numpy and torch are first imported, by tests and by the processes that they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What runs on Ray stays in one worker: where it starts twice at once on two cores, it gives up.

    Other tests stay together file by file, with what their fixtures have made.
    """
    from xdist.scheduler.loadfile import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            on_ray = nodeid.startswith(("tests/integration/", "tests/faults/"))
            return "ray" if on_ray else str(super()._split_scope(nodeid))

    return Scheduling(config, log)


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
