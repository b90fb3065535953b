"""A server that runs a Python function behind the interface of Lambda's images.

It is copied into containers, so it imports only the standard library. Usage, in the function's directory:

    python3 runtime.py MODULE.FUNCTION PORT
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socketserver
import sys
import traceback
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any


class Context:
    """The context of an invocation, which the function gets."""

    def __init__(self, name: str) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self.function_name = name


class Handler(BaseHTTPRequestHandler):
    """A handler that invokes the function for each POST and responds with its result or error."""

    protocol_version = "HTTP/1.1"
    function: Any
    name: str

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            result = json.dumps(type(self).function(event, Context(self.name)))
        except Exception as error:  # noqa: BLE001  # an error of the function must not stop the server
            traceback.print_exc()
            result = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
        body = result.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class Server(socketserver.ThreadingTCPServer):
    """A server with one thread per invocation.

    The server of `http.server` also asks for the name of its host before it listens, which takes long without DNS.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Load the function and serve invocations until SIGTERM."""
    module, _, attribute = sys.argv[1].rpartition(".")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # pathlib is of no use here
    Handler.name = sys.argv[1]
    # As a plain attribute of the class, the function would get the handler as its first argument.
    Handler.function = staticmethod(getattr(importlib.import_module(module), attribute))
    # Process 1 of a container ignores signals without a handler. The target is drained before this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", int(sys.argv[2])), Handler).serve_forever()


if __name__ == "__main__":
    main()
