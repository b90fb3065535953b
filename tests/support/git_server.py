"""An HTTP server on loopback: git's own for repositories, with a password or without, or one answer for everything."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.waiting import COMMAND_TIMEOUT


@dataclass(frozen=True)
class Answer:
    """The response to every request."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class GitServer:
    """Serves the repositories below `folder`, or `answer` if it is given. `on_request` is called for each request."""

    def __init__(self, folder: Path, credentials: str | None, answer: Answer | None) -> None:
        self.folder = folder
        self.credentials = credentials
        self.answer = answer
        self.on_request: Callable[[], None] = lambda: None
        self.host = ""


class _Handler(BaseHTTPRequestHandler):
    served: GitServer

    def do_GET(self) -> None:
        """Answer."""
        self.served.on_request()
        expected = self.served.credentials
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.served.answer is not None:
            self._send(self.served.answer)
        elif expected is not None and base64.b64decode(sent).decode() != expected:
            self._send(Answer(401, b"", (("WWW-Authenticate", 'Basic realm="git"'),)))
        else:
            self._run_git()

    def do_POST(self) -> None:
        """Answer."""
        self.do_GET()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _run_git(self) -> None:
        url = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.served.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": "ann",
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=environment,
            capture_output=True,
            check=True,
            timeout=COMMAND_TIMEOUT,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self._send(Answer(status, content, tuple((name, value) for name, value in headers if name != "Status")))

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def git_server(folder: Path, *, credentials: str | None = None, answer: Answer | None = None) -> Iterator[GitServer]:
    """Run a server until the block ends. `credentials` is `user:password`."""
    served = GitServer(folder, credentials, answer)
    handler = type("Handler", (_Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        served.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
