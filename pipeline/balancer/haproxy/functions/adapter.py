"""A process between HAProxy and functions: takes HTTP on a socket of the balancer's directory, and invokes.

It is started when a target group of functions is declared, and only requests for such groups come here. Functions are
invoked by the interface that Lambda's images have: a POST of the event, answered by the result.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socketserver
import sys
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import ClassVar

from pipeline.balancer.haproxy.functions.event import LIMIT, FunctionRequest, FunctionResponse, InvalidFunctionResponse
from pipeline.balancer.haproxy.functions.table import FunctionTable, FunctionTarget
from pipeline.balancer.haproxy.naming import FUNCTION_CHECK, FUNCTION_GROUP, FUNCTION_SOCKET, FUNCTION_TARGET
from pipeline.balancer.haproxy.server_args import target_of

_INTERNAL_HEADERS = frozenset(name.lower() for name in (FUNCTION_GROUP, FUNCTION_TARGET))
_INVOKE = "/2015-03-31/functions/function/invocations"
# ELB's response to a function that does not return waits for the idle timeout, and HAProxy has that.
_INVOKE_TIMEOUT = 900
_CONNECT_TIMEOUT = 2


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    table: ClassVar[FunctionTable]

    def handle_one_request(self) -> None:
        """Read a request and response it."""
        with suppress(ConnectionError):
            super().handle_one_request()

    def __getattr__(self, name: str) -> object:
        # The base class looks for a method for each HTTP method; functions take any.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            self.close_connection = True
            self._respond(FunctionResponse(413, "", (), b""))
            return
        group, name = self.headers.get(FUNCTION_GROUP, ""), self.headers.get(FUNCTION_TARGET, "")
        try:
            target = self.table.find(group, target_of(name))
            if FUNCTION_CHECK in self.headers:
                response = _connect(target)
            else:
                headers = [h for h in self.headers.items() if h[0].lower() not in _INTERNAL_HEADERS]
                request = FunctionRequest(self.command, self.path, headers, body)
                event = json.dumps(request.event(group, multiple=target.multiple)).encode()
                response = FunctionResponse.from_result(_invoke(target, event), multiple=target.multiple)
        except (InvalidFunctionResponse, LookupError, OSError, http.client.HTTPException) as error:
            print(f"{group} {name}: {error}", file=sys.stderr, flush=True)  # noqa: T201  # its log
            response = FunctionResponse(502, "", (), b"")
        self._respond(response)

    def _body(self) -> bytes | None:
        """All of the request's body; None when it is more than a function may be sent."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length", 0))
            return self.rfile.read(length) if length <= LIMIT else None
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            if len(body) + size > LIMIT:
                return None
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # Trailers.
        return body

    def _respond(self, response: FunctionResponse) -> None:
        self.send_response_only(response.status, response.reason or None)
        for name, value in response.headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def address_string(self) -> str:
        return ""

    def log_message(self, *args: object) -> None: ...


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    # Its end waits for what has been begun.
    daemon_threads = False
    request_queue_size = 1024

    def shutdown_soon(self, *_: object) -> None:
        """Have `serve_forever` return: the handler of a signal, which must not wait for it."""
        Thread(target=self.shutdown).start()

    def serve_backlog(self) -> None:
        """Serve those who connected before the socket lost its name to a successor."""
        while select.select([self], [], [], 0)[0]:
            self.handle_request()


def _connect(target: FunctionTarget) -> FunctionResponse:
    with closing(http.client.HTTPConnection(target.address, target.port, timeout=_CONNECT_TIMEOUT)) as connection:
        connection.connect()
    return FunctionResponse(200, "", (), b"")


def _invoke(target: FunctionTarget, event: bytes) -> bytes:
    """What the function returned. Never more than one byte above the limit is read."""
    if len(event) > LIMIT:
        raise InvalidFunctionResponse(f"the event is larger than {LIMIT >> 20} MiB")
    with closing(http.client.HTTPConnection(target.address, target.port, timeout=_INVOKE_TIMEOUT)) as connection:
        connection.request("POST", _INVOKE, event, {"Content-Type": "application/json"})
        return connection.getresponse().read(LIMIT + 1)


def serve(directory: Path) -> None:
    """Answer until SIGTERM, and then what has come until then."""
    _Handler.table = FunctionTable(directory)
    draft = Path(f".{FUNCTION_SOCKET}.{os.getpid()}")
    os.chdir(directory)
    with _Server(str(draft), _Handler) as server:
        draft.chmod(0o600)
        signal.signal(signal.SIGTERM, server.shutdown_soon)
        # By name only when it listens: whoever finds the socket can use it.
        draft.rename(FUNCTION_SOCKET)
        server.serve_forever()
        server.serve_backlog()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
