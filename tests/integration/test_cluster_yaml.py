"""cluster.yaml is one that Ray accepts, starts no open port of ours, and installs the lock. Checked offline."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster() -> dict[str, Any]:
    """The file as `ray up` sees it: with Ray's own defaults filled in."""
    return prepare_config(yaml.safe_load((CHECKOUT / "cluster.yaml").read_text(encoding="utf-8")))


def ray_starts(cluster: dict[str, Any]) -> list[str]:
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


def node_types(cluster: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head's node type, and the others."""
    types = dict(cluster["available_node_types"])
    return types.pop(cluster["head_node_type"]), list(types.values())


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    validate_config(cluster)


def test_every_node_demands_the_token(cluster: dict[str, Any]) -> None:
    starts = ray_starts(cluster)
    assert len(starts) == 2
    for start in starts:
        assert "RAY_AUTH_MODE=token ray start" in start
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_dashboard_listens_on_loopback_only(cluster: dict[str, Any]) -> None:
    head_start = ray_starts(cluster)[0]
    assert re.findall(r"--dashboard-host[= ](\S+)", head_start) == ["127.0.0.1"]
    assert "0.0.0.0" not in head_start


def test_the_head_does_no_work(cluster: dict[str, Any]) -> None:
    head, _ = node_types(cluster)
    assert head["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in ray_starts(cluster)[0]


def test_workers_are_spot_machines_with_one_gpu_each(cluster: dict[str, Any]) -> None:
    _, workers = node_types(cluster)
    assert workers
    for worker in workers:
        assert worker["resources"] == {"CPU": 8, "GPU": 1}
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_machines_have_a_role_and_no_keys(cluster: dict[str, Any]) -> None:
    head, workers = node_types(cluster)
    for node_type in (head, *workers):
        assert set(node_type["node_config"]["IamInstanceProfile"]) == {"Name"}
    assert not re.search(r"(?i)aws_(access|secret)|AKIA[0-9A-Z]", yaml.safe_dump(cluster))


def test_nodes_install_the_lock_and_nothing_else(cluster: dict[str, Any]) -> None:
    """So the versions on the cluster are those of the checkout that submits the jobs."""
    assert cluster["file_mounts"]["/home/ubuntu/requirements.lock"] == "requirements.lock"
    commands = [
        command
        for key in ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
        for command in cluster[key]
    ]
    pip_arguments = [command.split("pip install ", 1)[1] for command in commands if "pip install" in command]
    assert set(pip_arguments) == {"--quiet --require-hashes --requirement ~/requirements.lock"}
    assert re.search(r"^ray==2\.\d+\.\d+ ", (CHECKOUT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
