"""Whether the cluster that RAY_ADDRESS names can be joined, asked first: Ray itself would try for minutes."""

import os
import re
import time

import grpc
from ray._private import services
from ray._private.gcs_utils import create_gcs_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from actionrec.errors import ActionrecError, InputError

JOIN_S = 10.0  # a head that is starting up just now answers before
TRY_S, PAUSE_S = 3.0, 0.5
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s/@:]+):([0-9]{1,5})")  # HOST:PORT
REMEDY = "start one (ray start --head), correct RAY_ADDRESS, or unset it to use this machine alone"


def cluster_address() -> str:
    """What RAY_ADDRESS names, or "" where the session is to be one of this process's own."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return "" if address == "local" else address


def demand_head(address: str) -> None:
    """Return once a head of Ray answers at `address` (cluster_address()).

    InputError: it is no such address, or its token is missing or wrong. ActionrecError: nothing answers within JOIN_S.
    """
    if "@" in address:
        raise InputError("RAY_ADDRESS holds an @: give HOST:PORT alone, and the token in RAY_AUTH_TOKEN_PATH")
    scheme, separator, _ = address.rpartition("://")
    if separator:
        kind = "the port of Ray's client, through which nothing here can work" if scheme == "ray" else "the dashboard's"
        raise InputError(
            f"RAY_ADDRESS={address} is no head of Ray ({scheme}:// is {kind}): give HOST:PORT, its port being 6379 "
            "unless it was set, on a machine of the cluster, or `ray job submit`; unset it to use this machine alone"
        )
    deadline_s = time.monotonic() + JOIN_S
    while (refusal := _ask(_target(address))) and time.monotonic() < deadline_s:
        time.sleep(PAUSE_S)
    if refusal:
        raise ActionrecError(f"no head of Ray answers at RAY_ADDRESS={address} ({refusal}); {REMEDY}")


def _target(address: str) -> str:
    """HOST:PORT. `auto` is what was started on this machine last."""
    if address == "auto":
        try:
            return str(services.canonicalize_bootstrap_address(address))
        except ConnectionError:
            raise ActionrecError(f"RAY_ADDRESS=auto, but no Ray runs on this machine; {REMEDY}") from None
    found = ADDRESS.fullmatch(address)
    if not found or not 0 < int(found[2]) < 2**16:
        raise InputError(f"RAY_ADDRESS={address} is no address of a head: give HOST:PORT, such as 10.0.0.1:6379")
    return address


def _ask(target: str) -> str:
    """Why nothing of Ray's answered this time, "" where it did."""
    channel = create_gcs_channel(target)
    try:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        stub.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=TRY_S)  # type: ignore[attr-defined]
    except grpc.RpcError as error:
        return _refusal(target, error)
    finally:
        channel.close()
    return ""


def _refusal(target: str, error: grpc.RpcError) -> str:
    code, details = error.code(), str(error.details())
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        raise InputError(
            f"the head of Ray at RAY_ADDRESS={target} wants another token: set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN to the cluster's own"
        ) from None
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer"
    if code is grpc.StatusCode.UNIMPLEMENTED or "HTTP/2" in details:
        return "what listens there is no head"
    return details.rsplit(": ", 1)[-1].strip("[]")
