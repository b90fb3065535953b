#!/usr/bin/env bash
# Package: docker.io 20.10.24+dfsg1-1+deb12u1+b6 (Debian 12). Only its program docker-proxy runs, which serves a
# published port for clients on the same machine. It needs no daemon and no container: the server here plays it.
#
# Input: a server behind docker-proxy that resets a connection, a client that resets one, and no server at all.
# Guess before trying: a reset arrives as a reset.
#
# Behaviour seen: each side sees a regular end of data when the other one resets. Without a server, the connection is
# accepted and then ends in the same way, which is known. So a reply that was cut off looks complete, and a check that only
# connects passes for a container in which nothing listens.
#
# Output seen:
#   the server resets: the client sees an end
#   the client resets: the server sees an end
#   nothing listens: connected, the client sees an end
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get -qq download docker.io=20.10.24+dfsg1-1+deb12u1+b6 2>/dev/null
dpkg-deb --fsys-tarfile ./*.deb | tar -x ./usr/sbin/docker-proxy
timeout 30 python3 - "$folder/usr/sbin/docker-proxy" >seen <<'PYTHON'
import os
import socket
import subprocess
import sys

RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"


def sight(connection):
    connection.settimeout(5)
    try:
        return "data" if connection.recv(9) else "an end"
    except ConnectionResetError:
        return "a reset"


def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def sight_of_reset(by_server):
    with connect() as client:
        client.sendall(b"ask?")
        server, _ = target.accept()
        with server:
            assert server.recv(9) == b"ask?"
            server.sendall(b"half")
            assert client.recv(9) == b"half"
            first, second = (server, client) if by_server else (client, server)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            first.close()
            return sight(second)


target = socket.create_server(("127.0.0.1", 0))
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
ready, report = os.pipe()
to = ["-container-ip", "127.0.0.1", "-container-port", str(target.getsockname()[1])]
proxy = subprocess.Popen(
    # It reports on descriptor 3 that it listens.
    ["sh", "-c", f'exec "$0" "$@" 3>&{report}', sys.argv[1], "-proto", "tcp", "-host-ip", "127.0.0.1"]
    + ["-host-port", str(port), *to],
    pass_fds=(report,),
    stderr=subprocess.DEVNULL,
)
try:
    assert os.read(ready, 2) == b"0\n"
    print("the server resets: the client sees", sight_of_reset(by_server=True))
    print("the client resets: the server sees", sight_of_reset(by_server=False))
    target.close()
    with connect() as client:
        print("nothing listens: connected, the client sees", sight(client))
finally:
    proxy.kill()
    proxy.wait()
PYTHON
cat seen
printf '%s\n' 'the server resets: the client sees an end' 'the client resets: the server sees an end' \
  'nothing listens: connected, the client sees an end' | diff - seen
