"""RAY_ADDRESS is asked before it is joined: one sentence, soon, that names the address and the remedy."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from actionrec.cluster import address
from actionrec.cluster.address import cluster_address, demand_head
from actionrec.errors import ActionrecError, InputError


class GcsStandIn(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """Ray's head as far as it is asked."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        self._code = code

    def CheckAlive(self, request: object, context: grpc.ServicerContext) -> object:  # noqa: N802 - Ray's name
        if self._code is not grpc.StatusCode.OK:
            context.abort(self._code, "as the test wants it")
        return gcs_service_pb2.CheckAliveReply()


def serve(port: int, servicer: GcsStandIn | None) -> tuple[grpc.Server, int]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    if servicer:
        gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


@contextlib.contextmanager
def serving(servicer: GcsStandIn | None) -> Iterator[str]:
    server, port = serve(0, servicer)
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "JOIN_S", 0.0)
    monkeypatch.setattr(address, "TRY_S", 0.5)


def refusal(where: str) -> str:
    with pytest.raises(ActionrecError) as found:
        demand_head(where)
    said = str(found.value)
    assert where in said and "\n" not in said
    assert isinstance(found.value, InputError) or "unset it to use this machine alone" in said
    return said


def test_what_is_waited_for_in_vain_is_waited_for_less_than_15_seconds() -> None:
    assert address.JOIN_S + address.TRY_S < 15


@pytest.mark.usefixtures("impatient")
def test_nobody_there(free_port: int) -> None:
    assert "refused" in refusal(f"127.0.0.1:{free_port}")
    assert "refused" in refusal(f"[::1]:{free_port}") or not socket.has_ipv6
    assert "not found" in refusal("no-such-host.invalid:6379") or "resol" in refusal("no-such-host.invalid:6379")


@pytest.mark.usefixtures("impatient")
def test_somebody_else_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # as a host that drops packets
        assert "no answer" in refusal(f"127.0.0.1:{silent.getsockname()[1]}")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        assert "no head" in refusal(f"127.0.0.1:{web.server_port}")
        web.shutdown()
    with serving(None) as another_service:
        assert "no head" in refusal(another_service)


@pytest.mark.parametrize(
    "wrong",
    [
        "http://127.0.0.1:8265",
        "https://host",
        "6379",
        "host",
        "host:",
        ":6379",
        "host:0",
        "host:70000",
        "ray://127.0.0.1:10001",
        "unix:/tmp/x:6",
        "127.0.0.1 :6",
        "127.0.0.1:٦٣٧٩",
    ],
)
def test_what_is_no_address_is_bad_input(wrong: str) -> None:
    with pytest.raises(InputError, match="HOST:PORT") as found:
        demand_head(wrong)
    assert f"RAY_ADDRESS={wrong} " in str(found.value)


def test_auto_without_a_ray_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> str:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(address.services, "canonicalize_bootstrap_address", none)
    with pytest.raises(ActionrecError, match="RAY_ADDRESS=auto, but no Ray runs on this machine; start one"):
        demand_head("auto")


def test_a_token_that_is_missing_or_wrong_is_bad_input_at_once() -> None:
    with serving(GcsStandIn(grpc.StatusCode.UNAUTHENTICATED)) as head:
        begun_s = time.monotonic()
        said = refusal(head)
    assert "RAY_AUTH_MODE=token" in said and "RAY_AUTH_TOKEN_PATH" in said
    assert time.monotonic() - begun_s < address.JOIN_S


def test_a_head_is_found_also_one_that_starts_only_now(free_port: int) -> None:
    servers = []
    later = threading.Timer(1.0, lambda: servers.append(serve(free_port, GcsStandIn())[0]))
    later.start()
    demand_head(f"127.0.0.1:{free_port}")
    later.join()
    demand_head(f"127.0.0.1:{free_port}")
    servers[0].stop(None).wait()


def test_a_secret_in_an_address_is_not_repeated() -> None:
    for wrong in ("http://me:planted@127.0.0.1:8265", "me:planted@127.0.0.1:6379"):
        with pytest.raises(InputError, match="give HOST:PORT alone") as found:
            demand_head(wrong)
        assert "planted" not in str(found.value)


@pytest.mark.parametrize(("value", "meant"), [(None, ""), ("", ""), ("local", ""), (" h:1 ", "h:1"), ("auto", "auto")])
def test_which_values_join_nothing(value: str | None, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    assert cluster_address() == meant
