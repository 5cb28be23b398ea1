"""rayjob.yaml uses fields that KubeRay and Kubernetes document, and keeps our promises. Checked offline."""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.test_cluster_yaml import CHECKOUT
from tests.unit.test_cli import SURFACE, commands, names

# Fields of ray.io/v1 in KubeRay 1.6, and of pods, that a job may use: a type, a mapping of fields, or a list of one.
Shape = Any
ANY_TEXT = {str: str}
CONTAINER: Shape = {
    "name": str,
    "image": str,
    "imagePullPolicy": str,
    "env": [{"name": str, "value": str, "valueFrom": dict}],
    "ports": [{"containerPort": int, "name": str}],
    "resources": {"requests": {str: (str, int)}, "limits": {str: (str, int)}},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
    "securityContext": dict,
    "lifecycle": dict,
}
POD: Shape = {
    "metadata": {"labels": ANY_TEXT, "annotations": ANY_TEXT},
    "spec": {
        "serviceAccountName": str,
        "nodeSelector": ANY_TEXT,
        "tolerations": [{"key": str, "operator": str, "value": str, "effect": str}],
        "affinity": dict,
        "imagePullSecrets": [{"name": str}],
        "securityContext": dict,
        "terminationGracePeriodSeconds": int,
        "containers": [CONTAINER],
        "volumes": [{"name": str, "emptyDir": {"medium": str, "sizeLimit": str}}],
    },
}
RAY_JOB: Shape = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "namespace": str, "labels": ANY_TEXT, "annotations": ANY_TEXT},
    "spec": {
        "entrypoint": str,
        "runtimeEnvYAML": str,
        "jobId": str,
        "submissionMode": str,
        "entrypointNumCpus": float,
        "entrypointNumGpus": float,
        "entrypointResources": str,
        "ttlSecondsAfterFinished": int,
        "shutdownAfterJobFinishes": bool,
        "activeDeadlineSeconds": int,
        "backoffLimit": int,
        "suspend": bool,
        "metadata": ANY_TEXT,
        "clusterSelector": ANY_TEXT,
        "submitterConfig": {"backoffLimit": int},
        "submitterPodTemplate": POD,
        "rayClusterSpec": {
            "rayVersion": str,
            "suspend": bool,
            "authOptions": {"mode": str, "secretName": str},
            "enableInTreeAutoscaling": bool,
            "autoscalerOptions": {
                "version": str,
                "idleTimeoutSeconds": int,
                "upscalingMode": str,
                "image": str,
                "imagePullPolicy": str,
                "resources": CONTAINER["resources"],
                "env": CONTAINER["env"],
                "securityContext": dict,
            },
            "headServiceAnnotations": ANY_TEXT,
            "gcsFaultToleranceOptions": dict,
            "headGroupSpec": {
                "serviceType": str,
                "enableIngress": bool,
                "rayStartParams": ANY_TEXT,
                "template": POD,
            },
            "workerGroupSpecs": [
                {
                    "groupName": str,
                    "replicas": int,
                    "minReplicas": int,
                    "maxReplicas": int,
                    "idleTimeoutSeconds": int,
                    "numOfHosts": int,
                    "rayStartParams": ANY_TEXT,
                    "template": POD,
                }
            ],
        },
    },
}


def wrong(value: Any, shape: Shape, place: str = "") -> list[str]:
    """Where a value is not of its shape: an unknown field, or another type."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{place} is no mapping"]
        any_key = shape.get(str)
        found = [f"{place}.{key} is unknown" for key in value if key not in shape and not any_key]
        known = {key: inner for key, inner in value.items() if key in shape or any_key}
        return found + [
            each for key, inner in known.items() for each in wrong(inner, shape.get(key, any_key), f"{place}.{key}")
        ]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place} is no list"]
        return [each for number, inner in enumerate(value) for each in wrong(inner, shape[0], f"{place}[{number}]")]
    is_right = isinstance(value, shape) and not (isinstance(value, bool) and shape is not bool)
    return [] if is_right else [f"{place} is {value!r}"]


@pytest.fixture
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / "rayjob.yaml").read_text(encoding="utf-8"))
    return loaded


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The head's container, then those of the workers."""
    cluster = job["spec"]["rayClusterSpec"]
    templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    return [container for template in templates for container in template["spec"]["containers"]]


def test_every_field_is_a_documented_one(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert wrong(job, RAY_JOB) == []


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (["spec"], "entryPoint", "x"),
        (["spec"], "ttlSecondsAfterFinished", "600"),
        (["spec", "rayClusterSpec"], "authOption", {"mode": "token"}),
        (["spec", "rayClusterSpec", "headGroupSpec"], "rayStartParams", {"num-cpus": 0}),
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0], "minReplica", 1),
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0], "resource", {}),
    ],
)
def test_a_misspelt_field_or_a_wrong_type_is_found(job: dict[str, Any], path: list[Any], key: str, value: Any) -> None:
    changed = copy.deepcopy(job)
    place = changed
    for step in path:
        place = place[step]
    place[key] = value
    assert len(wrong(changed, RAY_JOB)) == 1


def test_the_job_is_one_of_ours_with_options_that_it_has(job: dict[str, Any]) -> None:
    python, script, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert python == "python" and (CHECKOUT / script).is_file()
    verb = Path(script).stem
    assert {word for word in arguments if word.startswith("--")} <= names(commands()[verb]) == SURFACE[verb]
    name = arguments[arguments.index("--config") + 1]
    assert (CHECKOUT / f"actionrec/configs/{name}.yaml").is_file()


def test_the_token_is_on_and_nothing_is_reached_from_outside(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert (cluster["headGroupSpec"]["serviceType"], cluster["headGroupSpec"]["enableIngress"]) == ("ClusterIP", False)


def test_there_are_no_keys(job: dict[str, Any]) -> None:
    assert not any("env" in container for container in containers(job))
    assert not re.search(r"(?i)aws_(access|secret)|AKIA[0-9A-Z]", yaml.safe_dump(job))
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["serviceAccountName"] == "actionrec"


def test_the_head_does_no_work_and_each_worker_has_a_gpu_and_cores_to_decode_for_it(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    _, *workers = containers(job)
    for worker in workers:
        limits = worker["resources"]["limits"]
        assert limits == worker["resources"]["requests"]
        assert limits["nvidia.com/gpu"] == 1 and int(limits["cpu"]) >= 7
    for group in cluster["workerGroupSpecs"]:
        assert 0 < group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_versions_are_the_locks(job: dict[str, Any]) -> None:
    lock = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']} " in lock
    (image,) = {container["image"] for container in containers(job)}
    assert re.fullmatch(r"REGISTRY/actionrec:\d+\.\d+\.\d+", image)
    dockerfile = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes --requirement /tmp/requirements.lock" in dockerfile and "USER ray" in dockerfile
