#!/bin/bash
# Package: docker 7.2.0 from PyPI.
#
# Input: 40 calls of `inspect_container`, one after the other, each for another name, by one client on a Unix socket. The
# client is limited to one pool with one connection: `APIClient(num_pools=1, max_pool_size=1)`. A server that keeps
# connections alive counts them.
# Guess before the run: one connection, which all calls share.
# Behavior: 40 connections, of which 25 stay open. The client keeps a pool for each full URL, and the URL holds the name.
# `num_pools` changes nothing for a Unix socket. So a program that runs for long seems to lose descriptors.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --no-cache-dir --quiet --disable-pip-version-check docker==7.2.0 2>/dev/null
cat >count.py <<'PY'
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import docker


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    accepted = 0

    def get_request(self):
        self.accepted += 1
        return self.socket.accept()[0], "client"


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def descriptors():
    return len(os.listdir("/proc/self/fd"))


with Server("engine.sock", Engine) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = os.path.abspath("engine.sock")
    client = docker.APIClient(f"unix://{path}", version="1.41", num_pools=1, max_pool_size=1)
    before = descriptors()
    for number in range(40):
        client.inspect_container(f"c{number}")
    # Each connection has two ends in this process.
    print("accepted", server.accepted, "open", (descriptors() - before) // 2)
    server.shutdown()
PY
output=$(venv/bin/python count.py)
echo "$output"
[ "$output" = "accepted 40 open 25" ] || { echo "changed: the number of connections"; exit 1; }
echo "as described: a connection for each path, and 25 of them stay open"
