"""The counters of a worker are served where Prometheus asks Ray for them."""

import time
import urllib.request

import pytest
import ray

from actionrec.cluster.board import BoardWatcher
from actionrec.cluster.meters import METERS
from actionrec.cluster.session import session


def test_ray_serves_what_a_worker_counts() -> None:
    @ray.remote(num_cpus=0)
    class Counting:
        def work(self) -> None:
            BoardWatcher(None).measured({"decode": 1.5, "flow": 2.0}, {"flow": "corrupt"})

    with session():
        worker = Counting.remote()  # type: ignore[attr-defined]
        ray.get(worker.work.remote())
        [node] = ray.nodes()
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        deadline = time.monotonic() + 90
        while True:
            with urllib.request.urlopen(url, timeout=10) as answer:
                said = [line for line in answer.read().decode().splitlines() if line.startswith("ray_actionrec")]
            if len({line.partition("{")[0] for line in said}) == len(METERS):
                break
            if time.monotonic() > deadline:
                pytest.fail(f"{url} serves {said}")
            time.sleep(1)
    assert any("ray_actionrec_failures_total{" in line and 'reason="corrupt"' in line for line in said)
    assert any('step="decode"' in line and line.endswith(" 1.5") for line in said)
