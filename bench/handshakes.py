"""A TLS client that makes a handshake for each request: `python -m bench.handshakes PORT SECONDS full|resumed`.

wrk resumes a session where it can, so it measures no full handshake. This client does either, and fails if a session
was resumed against its will or was not resumed.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from functools import partial

from bench.proxy import Load, Proxy

# More would take the processor from the proxy. They wait for it most of the time.
_PROCESSES = 2
_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def _load(proxy: Proxy, seconds: int, kind: str) -> int:
    command = [sys.executable, "-m", "bench.handshakes", str(proxy.port), str(seconds), kind]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)]
    outputs = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), f"{proxy.name}: a handshake failed"
    return sum(map(int, outputs))


full_handshakes: Load = partial(_load, kind="full")
resumed_handshakes: Load = partial(_load, kind="resumed")


def main() -> None:
    """Send requests until the time is over, and print their number."""
    port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session = _request(context, port, None) if kind == "resumed" else None
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        latest = _request(context, port, session)
        session = latest if kind == "resumed" else None
        count += 1
    print(count)


def _connection(port: int) -> socket.socket:
    """Connect. Without TCP_NODELAY the request would wait 40 ms for the acknowledgement of the handshake."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _request(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """Send one request on a new connection, and return the session of the connection."""
    with (
        _connection(port) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure,
    ):
        assert secure.session_reused is (session is not None), "resumed or not, against the request"
        secure.sendall(_REQUEST)
        response = bytearray()
        while part := secure.recv(4096):
            response += part
        assert response.startswith(b"HTTP/1.1 200"), bytes(response[:100])
        return secure.session


if __name__ == "__main__":
    main()
