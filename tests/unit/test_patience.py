"""A server that errs: what passes is asked again in every verb, what does not is not, and all of it has an end."""

import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actionrec import patience
from actionrec.config import Storage
from actionrec.errors import ActionrecError, DamagedError, InputError
from actionrec.storage.object_store import ObjectStore
from tests.faults.s3_fault_proxy import FaultProxy
from tests.self_signed import self_signed

PASSING = [
    *(f"503:{how}" for how in ("SlowDown", "ServiceUnavailable", "Service Unavailable", "InternalError")),
    *(f"503:{how}" for how in ("html", "doctype", "empty", "nocode", "broken", "cut")),
    *(f"500:{how}" for how in ("InternalError", "html", "empty")),
    *(f"502:{how}" for how in ("html", "empty")),
    *(f"504:{how}" for how in ("html", "RequestTimeout")),
    *(f"429:{how}" for how in ("TooManyRequests", "Throttling", "RequestLimitExceeded", "empty")),
    *(f"409:{how}" for how in ("OperationAborted", "ConditionalRequestConflict", "empty")),
    "reset",
    "drop",
]
WITH_A_BODY = ["400:RequestTimeout", "400:IncompleteBody", "400:Throttling", "400:RequestLimitExceeded"]
LASTING = [
    *(f"403:{how}" for how in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed")),
    *(f"400:{how}" for how in ("InvalidArgument", "InvalidRequest", "ExpiredToken", "KeyTooLongError")),
    "404:NoSuchBucket",
    "405:MethodNotAllowed",
    "501:NotImplemented",
]
LISTINGS = ["cut", "short", "200:html", "200:empty", "200:broken"]
KEY = "folder/part-000001.parquet"


@dataclass
class Clock:
    """Stands in for `time`: nobody waits, and the waits are counted."""

    now_s: float = 0.0
    pauses_s: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, pause_s: float) -> None:
        self.now_s += pause_s
        self.pauses_s.append(pause_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


class Server(NamedTuple):
    store: ObjectStore
    proxy: FaultProxy

    def key(self) -> str:
        return f"{uuid.uuid4()}/{KEY}"


@pytest.fixture(scope="module")
def running(s3_bucket: tuple[str, str]) -> Iterator[Server]:
    endpoint, bucket = s3_bucket
    with FaultProxy(endpoint) as proxy:
        yield Server(ObjectStore(f"s3://{bucket}/patience", Storage(endpoint_url=proxy.url)), proxy)


@pytest.fixture
def server(running: Server, clock: Clock) -> Iterator[Server]:
    running.proxy.rules.clear()
    yield running
    running.proxy.rules.clear()


def read(store: ObjectStore, key: str) -> bool:
    return store.read(key) == b"data"


def put(store: ObjectStore, key: str) -> bool:
    store.put(key, b"other")
    return store.read(key) == b"other"


def put_new(store: ObjectStore, key: str) -> bool:
    new = f"{key}.{uuid.uuid4()}.new"
    return store.put_new(new, b"mine") and store.read(new) == b"mine"


def put_new_late(store: ObjectStore, key: str) -> bool:
    return not store.put_new(key, b"mine") and store.read(key) == b"data"


def exists(store: ObjectStore, key: str) -> bool:
    return store.exists(key) and not store.exists(f"{key}.absent")


def sizes(store: ObjectStore, key: str) -> bool:
    return store.sizes(f"{key.split('/')[0]}/") == {key: 4, f"{key}.2": 1, f"{key}.3": 1}


def versions(store: ObjectStore, key: str) -> bool:
    return len(store.versions(f"{key.split('/')[0]}/")) == 3


def delete(store: ObjectStore, key: str) -> bool:
    store.delete(f"{key.split('/')[0]}/")
    return not store.exists(key)


class Verb(NamedTuple):
    run: Callable[[ObjectStore, str], bool]
    request: str  # a pattern of the request that fails
    has_a_body: bool = True  # in an answer that refuses: where there is none, the status is all that is known


VERBS = {
    "GET": Verb(read, r"GET .*parquet$"),
    "PUT": Verb(put, r"PUT .*parquet"),
    "conditional PUT": Verb(put_new, r"PUT .*new"),
    "conditional PUT, too late": Verb(put_new_late, r"PUT .*parquet"),
    "HEAD": Verb(exists, r"HEAD .*parquet$", has_a_body=False),
    "HEAD of nothing": Verb(exists, r"HEAD .*absent$", has_a_body=False),
    "LIST": Verb(sizes, r"GET .*list-type(?!.*continuation)"),
    "LIST, second page": Verb(sizes, r"GET .*list-type.*continuation"),
    "LIST for versions": Verb(versions, r"GET .*list-type"),
    "DELETE": Verb(delete, r"DELETE .*parquet"),
}


@pytest.fixture
def pages_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "1")


def stored(server: Server) -> str:
    key = server.key()
    server.store.put(key, b"data")
    server.store.put(f"{key}.2", b"2")
    server.store.put(f"{key}.3", b"3")
    return key


def kinds_of(name: str) -> list[str]:
    listing = LISTINGS if name.startswith("LIST") else ["cut"] if name == "GET" else []
    lost = ["lost"] if name in ("PUT", "conditional PUT", "DELETE") else []
    return PASSING + (WITH_A_BODY if VERBS[name].has_a_body else []) + listing + lost


def requests_of(kind: str, tries: int) -> range:
    """aiohttp asks a second time by itself, at once, where the connection that broke was one that had been kept."""
    return range(tries, 2 * tries + 1) if kind in ("reset", "drop", "lost") else range(tries, tries + 1)


@pytest.mark.usefixtures("pages_of_one")
@pytest.mark.parametrize("name", VERBS)
def test_every_error_that_passes_is_survived(
    server: Server, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call meets all of them, each twice, and then a server that is well."""
    monkeypatch.setattr(patience, "TRIES", 1000)
    monkeypatch.setattr(patience, "PATIENCE_S", 1e9)
    verb, key = VERBS[name], stored(server)
    rules = [server.proxy.breaks(kind, verb.request, 2) for kind in kinds_of(name)]
    assert verb.run(server.store, key), [rule.kind for rule in rules if rule.times]
    assert not any(rule.times for rule in rules)
    assert len(rules) < len(clock.pauses_s) <= 2 * len(rules)


@pytest.mark.parametrize("name", ["GET", "PUT", "conditional PUT", "HEAD", "LIST", "DELETE"])
def test_every_error_that_never_passes_ends_in_a_sentence_that_names_the_key(
    server: Server, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "TRIES", 2)
    verb, key = VERBS[name], stored(server)
    for kind in kinds_of(name):
        if kind == "lost" and name == "conditional PUT":
            continue  # the second try finds that the first was heard
        rule = server.proxy.breaks(kind, verb.request, -1)
        with pytest.raises(ActionrecError, match="does not answer") as caught:
            verb.run(server.store, key)
        assert len(rule.hits) in requests_of(kind, tries=2), kind
        assert type(caught.value) is ActionrecError and "\n" not in str(caught.value), kind
        assert f"{server.store.url}/{key.split('/')[0]}/" in str(caught.value), kind
        server.proxy.rules.clear()
    assert server.store.read(f"{key}.2") == b"2"


def test_as_many_tries_as_are_said(server: Server, clock: Clock) -> None:
    rule = server.proxy.breaks("503:html", "GET", -1)
    with pytest.raises(ActionrecError, match=KEY):
        server.store.read(server.key())
    assert len(rule.hits) == patience.TRIES == 8 and len(clock.pauses_s) == 7


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("name", ["GET", "PUT", "conditional PUT", "HEAD", "LIST"])
def test_what_lasts_is_asked_once(server: Server, clock: Clock, name: str, kind: str) -> None:
    key = stored(server)
    rule = server.proxy.breaks(kind, VERBS[name].request, -1)
    with pytest.raises((ActionrecError, FileNotFoundError, PermissionError, AssertionError)):
        assert VERBS[name].run(server.store, key)
    assert not clock.pauses_s
    # Without a code, a HEAD's 400 can mean another region: botocore asks which, and once more.
    assert len(rule.hits) == (2 if name == "HEAD" and kind.startswith("400") else 1)


@pytest.mark.parametrize("kind", ["409:ConditionalRequestConflict", "409:empty", "409:OperationAborted"])
def test_a_conflict_is_a_race_to_be_run_again(server: Server, clock: Clock, kind: str) -> None:
    key = server.key()
    server.proxy.breaks(kind, "PUT", 1)
    assert server.store.put_new(key, b"mine") and len(clock.pauses_s) == 1
    server.proxy.breaks(kind, "PUT", 1)
    assert not server.store.put_new(key, b"yours") and server.store.read(key) == b"mine"
    server.proxy.breaks(kind, "PUT", -1)
    with pytest.raises(ActionrecError, match=f"{KEY}: the store does not answer") as caught:
        server.store.put_new(server.key(), b"never")
    assert not isinstance(caught.value, InputError)


def test_an_object_that_vanishes_while_it_is_claimed_is_no_missing_bucket(server: Server) -> None:
    server.proxy.breaks("412:PreconditionFailed", "PUT", 1)
    with pytest.raises(ActionrecError, match="somebody else deletes") as caught:
        server.store.put_new(server.key(), b"mine")
    assert not isinstance(caught.value, InputError)


def test_a_refusal_in_the_middle_of_a_deletion_is_a_sentence(server: Server) -> None:
    key = stored(server)
    server.proxy.breaks("403", "DELETE", -1)
    with pytest.raises(InputError, match="access is refused"):
        server.store.delete(key)


@pytest.mark.parametrize("kind", ["flip", "short"])
def test_what_does_not_fit_its_checksum_is_read_again_and_never_returned(
    server: Server, clock: Clock, kind: str
) -> None:
    key = stored(server)
    server.proxy.breaks(kind, "GET", 2)
    assert server.store.read(key) == b"data"
    clock.pauses_s.clear()
    always = server.proxy.breaks(kind, "GET", -1)
    with pytest.raises(DamagedError, match=KEY):
        server.store.read(key)
    assert len(always.hits) == patience.DAMAGED_TRIES == 3 and len(clock.pauses_s) == 2


def test_an_empty_prefix_is_an_empty_listing(server: Server, clock: Clock) -> None:
    assert server.store.sizes("nothing/") == {} and not clock.pauses_s


def test_pauses_double_and_vary_and_come_to_some_ten_seconds() -> None:
    longest_s = [0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0]
    for tried, longest in enumerate(longest_s, 1):
        drawn_s = [patience.pause_s(tried) for _ in range(200)]
        assert 0.5 * longest <= min(drawn_s) and max(drawn_s) <= longest
        assert max(drawn_s) - min(drawn_s) > 0.25 * longest
    assert len(longest_s) == patience.TRIES - 1
    assert 10 < sum(longest_s) * 0.75 < 12


@pytest.mark.parametrize(("each_s", "tries"), [(0.0, 8), (5.0, 8), (20.0, 3), (3600.0, 3)])
def test_tries_that_take_long_are_fewer_but_never_below_three(clock: Clock, each_s: float, tries: int) -> None:
    begun = 0

    def hang() -> None:
        nonlocal begun
        begun += 1
        clock.now_s += each_s
        raise TimeoutError

    with pytest.raises(TimeoutError):
        patience.patiently(hang)
    assert begun == tries


def test_a_mistake_of_ours_is_not_repeated(clock: Clock) -> None:
    for mistake in (ValueError(), KeyError(), OSError(28, "no space"), FileNotFoundError(), PermissionError()):
        assert patience.tries_for(mistake) == 1


def test_a_server_that_starts_late_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused connections pass; nothing listens until the third pause."""
    with FaultProxy("http://127.0.0.1:9") as proxy:
        port = int(proxy.url.rpartition(":")[2])
    store = ObjectStore("s3://bucket/x", Storage(endpoint_url=f"http://127.0.0.1:{port}"))
    late: list[HTTPServer] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")

        def log_message(self, *arguments: Any) -> None: ...

    def sleep(pause_s: float) -> None:
        clock.pauses_s.append(pause_s)
        if len(clock.pauses_s) == 3:
            late.append(HTTPServer(("127.0.0.1", port), Answers))
            threading.Thread(target=late[0].serve_forever, daemon=True).start()

    monkeypatch.setattr(clock, "sleep", sleep)
    assert store.read("key") == b"data" and len(clock.pauses_s) == 3
    late[0].shutdown()
    late[0].server_close()


def test_a_certificate_that_is_not_trusted_is_asked_once(clock: Clock, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store = ObjectStore("s3://bucket/x", Storage(endpoint_url=f"https://127.0.0.1:{server.server_port}"))
    begun_s = time.monotonic()
    with pytest.raises(ActionrecError, match="certificate"):
        store.read("key")
    assert not clock.pauses_s and time.monotonic() - begun_s < 30
    server.shutdown()
    server.server_close()
