"""The adapter process between HAProxy and functions: it receives HTTP on a Unix socket and invokes functions.

It runs while a target group of functions is declared, and gets only requests for such groups. Functions have the
interface of Lambda's images: a POST of the event, with the result as the response.
"""

from __future__ import annotations

import http.client
import json
import os
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
from pipeline.balancer.haproxy.naming import (
    FUNCTION_CHECK,
    FUNCTION_GROUP,
    FUNCTION_SOCKET,
    FUNCTION_TARGET,
    group_of,
    target_of,
)
from pipeline.balancer.haproxy.worker_user import admit_workers
from pipeline.base.sockets import has_input

_INTERNAL_HEADERS = frozenset(name.lower() for name in (FUNCTION_GROUP, FUNCTION_TARGET))
_INVOKE = "/2015-03-31/functions/function/invocations"
# Seconds. Longer than useful, because HAProxy's idle timeout ends the wait, as in ELB.
_INVOKE_TIMEOUT = 900
_CONNECT_TIMEOUT = 2


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    table: ClassVar[FunctionTable]

    def handle_one_request(self) -> None:
        """Handle one request. A connection that the client closed is not an error."""
        with suppress(ConnectionError):
            super().handle_one_request()

    def __getattr__(self, name: str) -> object:
        # The base class requires a `do_METHOD` for each HTTP method. Functions accept any method.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            self.close_connection = True
            self._respond(FunctionResponse(413, "", (), b""))
            return
        group, name = group_of(self.headers.get(FUNCTION_GROUP, "")), self.headers.get(FUNCTION_TARGET, "")
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
        """Return the request's body, or None if it is too large for a function."""
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
    # With False, closing the server waits for requests in progress.
    daemon_threads = False
    request_queue_size = 1024

    def shutdown_soon(self, *_: object) -> None:
        """Make `serve_forever` return. A signal handler must not wait for it, so a thread does."""
        Thread(target=self.shutdown).start()

    def serve_backlog(self) -> None:
        """Serve connections that were made before the socket lost its name to a successor."""
        while has_input(self):
            self.handle_request()


def _connect(target: FunctionTarget) -> FunctionResponse:
    with closing(http.client.HTTPConnection(target.address, target.port, timeout=_CONNECT_TIMEOUT)) as connection:
        connection.connect()
    return FunctionResponse(200, "", (), b"")


def _invoke(target: FunctionTarget, event: bytes) -> bytes:
    """Return the function's result. Reads at most one byte more than the limit."""
    if len(event) > LIMIT:
        raise InvalidFunctionResponse(f"the event is larger than {LIMIT >> 20} MiB")
    with closing(http.client.HTTPConnection(target.address, target.port, timeout=_INVOKE_TIMEOUT)) as connection:
        connection.request("POST", _INVOKE, event, {"Content-Type": "application/json"})
        return connection.getresponse().read(LIMIT + 1)


def serve(directory: Path) -> None:
    """Serve until SIGTERM. Then serve the connections that are already waiting, and return."""
    _Handler.table = FunctionTable(directory)
    draft = Path(f".{FUNCTION_SOCKET}.{os.getpid()}")
    os.chdir(directory)
    with _Server(str(draft), _Handler) as server:
        draft.chmod(0o600)
        admit_workers(draft)
        signal.signal(signal.SIGTERM, server.shutdown_soon)
        # The socket gets its name only after it listens, so a client that finds it can connect.
        draft.rename(FUNCTION_SOCKET)
        server.serve_forever()
        server.serve_backlog()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
