"""Runs a Python function behind the interface that Lambda's images have. Copied into containers: no imports of ours.

python3 runtime.py MODULE.FUNCTION PORT, in the function's directory.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Context:
    """What a function is told of its invocation."""

    def __init__(self, name: str) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self.function_name = name


class Handler(BaseHTTPRequestHandler):
    """Every POST is an invocation: the event in, the result or the error out."""

    protocol_version = "HTTP/1.1"
    function: Any
    name: str

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            result = json.dumps(type(self).function(event, Context(self.name)))
        except Exception as error:  # noqa: BLE001  # whatever the function does wrong, the next invocation is answered
            traceback.print_exc()
            result = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
        body = result.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class Server(ThreadingHTTPServer):
    """A thread an invocation."""

    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Load the function and serve it."""
    module, _, attribute = sys.argv[1].rpartition(".")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # pathlib is of no use here
    Handler.name = sys.argv[1]
    # A plain function that is found on a class would be given the instance.
    Handler.function = staticmethod(getattr(importlib.import_module(module), attribute))
    # The first process of a container hears no signal that it has no handler for. It is drained when this comes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", int(sys.argv[2])), Handler).serve_forever()


if __name__ == "__main__":
    main()
