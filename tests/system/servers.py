"""Servers behind the balancer with protocols that a plain one does not have."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import grpc
import trustme
from websockets.sync.server import ServerConnection, serve

from pipeline.balancer.haproxy.process import binary
from pipeline.balancer.model import Target
from tests.support.loopback import LoopbackServer
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until


def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return the TLS context of a server."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(found)
    return found


class _Pace(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Paced

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(self.server.health)
            return
        with self.server.counting:
            self.server.requests += 1
        time.sleep(self.server.latency)
        self.answer(self.server.status)

    def answer(self, status: int) -> None:
        body = self.server.name.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class Paced(LoopbackServer):
    """A server that responds with its name, after a delay and with a status that the test sets."""

    handler = _Pace

    def __init__(self, name: str, latency: float = 0.0) -> None:
        self.latency = latency
        self.status = 200
        super().__init__(name)


class RawServer:
    """A server that gives each connection to `_talk`, in a thread of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def target(self) -> Target:
        return Target(id=self.name, address="127.0.0.1", port=self.port)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def end(self) -> None:
        # Closing alone would leave it listening while a thread waits in `accept`.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, raw: socket.socket) -> None:
        raise NotImplementedError


class Scripted(RawServer):
    """A server that sends scripted responses and keeps every request's head. `tls` is its TLS context."""

    def __init__(self, name: str, tls: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.says: Callable[[], bytes | None] = self._answer
        self.heads: list[str] = []
        self.closed = 0
        self._tls = tls
        super().__init__(name)

    def _answer(self) -> bytes | None:
        """Respond without an announcement that the connection will be closed."""
        return f"HTTP/1.1 {self.status} Fine\r\nContent-Length: 5\r\n\r\nhello".encode()

    def _talk(self, raw: socket.socket) -> None:
        raw.settimeout(DEADLINE)
        with contextlib.suppress(OSError), contextlib.closing(raw):
            connection = self._tls.wrap_socket(raw, server_side=True) if self._tls else raw
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    part = connection.recv(65536)
                    if not part:
                        return
                    received += part
                self.heads.append(received.decode())
                answer = self.says()
                if answer is None:
                    return
                connection.sendall(answer)
                # A check ends in a reset: it does not wait for what may still come.
                with contextlib.suppress(ConnectionResetError):
                    if connection.recv(1):
                        return
                self.closed += 1


class H2:
    """A server of HTTP/2 and nothing else: a HAProxy that answers its name. `/healthz` is answered with `health`."""

    def __init__(self, name: str, directory: Path, certificate: trustme.LeafCert | None = None) -> None:
        self.name, self._port = name, free_port()
        secure = ""
        if certificate:
            certificate.private_key_and_cert_chain_pem.write_to_path(directory / f"{name}.pem")
            secure = f" ssl crt {name}.pem alpn h2"
        (directory / f"{name}.cfg").write_text(
            "defaults\n  mode http\n  timeout client 20s\n  timeout connect 1s\n  timeout server 20s\n"
            f"frontend f\n  bind 127.0.0.1:{self._port}{secure or ' proto h2'}\n"
            f"  http-request return status 200 content-type text/plain string {name}\n"
        )
        self._process = subprocess.Popen(
            [binary(), "-db", "-f", f"{name}.cfg"], cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, f"{name} listens")

    @property
    def target(self) -> Target:
        return Target(id=self.name, address="127.0.0.1", port=self._port)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


class _Methods(grpc.GenericRpcHandler):
    """`/shop.Echo/…`: Say (one for one), Count (a number for a stream), Chat (a stream for a stream), Fail."""

    def __init__(self, server: Grpc) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return {
            "/shop.Echo/Say": grpc.unary_unary_rpc_method_handler(self._say),
            "/shop.Echo/Count": grpc.unary_stream_rpc_method_handler(self._count),
            "/shop.Echo/Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "/shop.Echo/Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            # A check sends no message, which only a stream may be without.
            "/shop.Echo/Ping": grpc.stream_unary_rpc_method_handler(self._ping),
        }.get(str(details.method))

    def _say(self, message: bytes, call: grpc.ServicerContext) -> bytes:
        return self._server.name.encode() + b":" + message

    def _count(self, message: bytes, call: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (str(number).encode() for number in range(int(message)))

    def _chat(self, messages: Iterator[bytes], call: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (self._server.name.encode() + b":" + message for message in messages)

    def _fail(self, message: bytes, call: grpc.ServicerContext) -> bytes:
        call.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today, thanks")
        raise AssertionError

    def _ping(self, messages: Iterator[bytes], call: grpc.ServicerContext) -> bytes:
        """Ends without a message: with the code that the test wants, in the first and only header."""
        call.abort(self._server.health, "")
        raise AssertionError


class Grpc:
    """A gRPC server. `health` is what `/shop.Echo/Ping` ends with."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = grpc.StatusCode.NOT_FOUND
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[_Methods(self)])
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def target(self) -> Target:
        return Target(id=self.name, address="127.0.0.1", port=self._port)

    def end(self) -> None:
        self._server.stop(None).wait()


class WebSocket:
    """A server that repeats each message after its name. A plain request gets 426, which passes its checks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened = 0
        self._server = serve(self._repeat, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def target(self) -> Target:
        return Target(id=self.name, address="127.0.0.1", port=self._server.socket.getsockname()[1])

    def end(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def _repeat(self, connection: ServerConnection) -> None:
        self.opened += 1
        for message in connection:
            connection.send(f"{self.name}:{message!s}")
