"""An HTTP proxy before an S3 server that breaks what it is told to break. Loopback only, in threads of this process."""

import http.client
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

FOR_THE_HOP = {"connection", "content-length", "date", "expect", "server", "transfer-encoding"}
HANG_S = 40.0
CODES = {"503": "SlowDown", "403": "AccessDenied"}  # where a rule names none
BODIES = {  # of an answer that is no XML of S3's
    "html": b"<html><body><h1>The balancer is sorry</h1></body></html>",
    "doctype": b"<!DOCTYPE html>\n<html><head><title>Sorry</title></head><body><hr></body></html>",
    "empty": b"",
    "nocode": b"<Error><Message>as told</Message></Error>",
    "broken": b"<Error><Code>SlowDo",
}


@dataclass
class Rule:
    """What happens to the next `times` requests whose "METHOD /path?query" `pattern` is found in (times -1: to all).

    503, 500:InternalError: an error with that status and code; 503:html and the others of BODIES: with such a body;
    503:cut: whose own body breaks off. reset: the connection breaks unanswered; drop: it is closed unanswered.
    cut: half the body under the whole's length, then a break. short: half the body, and a length that agrees.
    flip: one bit of the body.
    lost: done, and the answer is lost. hang: no answer, for longer than anybody waits. slow: the body in ten pieces.
    stale: a listing without its last key, as of a store that is not consistent at once.
    """

    kind: str
    pattern: str
    times: int = 1
    hits: list[str] = field(default_factory=list)

    def takes(self, request: str) -> bool:
        if not self.times or not re.search(self.pattern, request):
            return False
        self.times -= 1
        self.hits.append(request)
        return True


class FaultProxy:
    """`with FaultProxy(upstream) as proxy:` serves at proxy.url; rules are tried in order, and the first counts."""

    def __init__(self, upstream: str) -> None:
        self.rules: list[Rule] = []
        self.requests: list[str] = []  # all that came, as "METHOD /path?query"
        self._lock = threading.Lock()
        where = urlsplit(upstream)
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": (where.hostname, where.port)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def breaks(self, kind: str, pattern: str, times: int = 1) -> Rule:
        rule = Rule(kind, pattern, times)
        with self._lock:
            self.rules.append(rule)
        return rule

    def fault_for(self, request: str) -> str:
        with self._lock:
            self.requests.append(request)
            return next((rule.kind for rule in self.rules if rule.takes(request)), "")


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    upstream: tuple[str, int]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the answer to its headers

    def log_message(self, *arguments: Any) -> None:
        """Silent."""

    def _handle(self) -> None:
        body = self._body()
        kind = self.proxy.fault_for(unquote(f"{self.command} {self.path}"))
        if kind[:3].isdigit():
            self._refuse(*kind.split(":"))
        elif kind == "reset":
            self._reset()
        elif kind == "drop":
            self.close_connection = True
        elif kind == "hang":
            time.sleep(HANG_S)
            self._reset()
        else:
            self._forward(kind, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _refuse(self, status: str, how: str = "") -> None:
        code = how if how not in ("", "cut") else CODES.get(status, "InternalError")
        error = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
        body = BODIES.get(how, error)
        kind = "application/xml" if body.startswith((b"<?xml", b"<Error")) else "text/html"
        if how == "cut":
            self.close_connection = True
            return self._answer(int(status), [("Content-Type", kind)], body[: len(body) // 2], len(body))
        self._answer(int(status), [("Content-Type", kind)], body)

    def _forward(self, kind: str, body: bytes) -> None:
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in FOR_THE_HOP}
        if body or self.command in ("PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in FOR_THE_HOP]
        length = int(answer.getheader("Content-Length") or len(data))
        connection.close()
        match kind:
            case "lost":
                return self._reset()
            case "flip" if data:
                data = bytes([*data[: len(data) // 2], data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
            case "stale":
                data = re.sub(rb"<Contents>(?:(?!<Contents>).)*</Contents>(?!.*<Contents>)", b"", data, flags=re.DOTALL)
            case "slow":
                self._answer(answer.status, kept, b"", length)
                for place in range(0, len(data), len(data) // 10 + 1):
                    time.sleep(0.5)
                    self.wfile.write(data[place : place + len(data) // 10 + 1])
                    self.wfile.flush()
                return
            case "short":
                data = data[: len(data) // 2]
                length = len(data)
            case "cut":
                self._answer(answer.status, kept, data[: len(data) // 2], length)
                return self._reset()
        self._answer(answer.status, kept, data, length if self.command == "HEAD" or kind == "short" else len(data))

    def _answer(self, code: int, headers: list[tuple[str, str]], data: bytes, length: int | None = None) -> None:
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
            self.wfile.flush()

    def _body(self) -> bytes:
        """The request's body, also where it comes in chunks (as uploads with a trailing checksum do)."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _reset(self) -> None:
        """Break the connection the hard way (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
