#!/usr/bin/env bash
# Packages: dnspython 2.9.2 (PyPI) as the name server, and libc6 of Debian 12, 2.36, as installed. Needs root, for a
# network namespace of its own in which the client is 10.9.1.7/24.
#
# Input: two names with three addresses each. The name server puts another address first in each answer, as a load
# balancer with three zones does. The three addresses of `far` are in other networks than the client. One of `near` is in
# the client's own network, and the others are not. A program connects to the first address that it gets.
#
# Guess before trying: each address is the first one of about a third of 30 lookups, for both names.
#
# Behaviour seen: `far` is as guessed. For `near`, `getaddrinfo` puts the address in the client's own network first, each
# time. So clients beside a zone's address use that zone only, without a setting for it. `gethostbyname`, which
# `getent hosts` stands for, keeps the order. So two programs on one machine differ.
#
# Output seen:
#   far.test: getaddrinfo 3 first addresses, gethostbyname 3
#   near.test: getaddrinfo 1 first address (10.9.1.5), gethostbyname 3
set -euo pipefail
script=$(realpath "$0")
if [ "${1:-}" != inside ]; then
  getent --version | head -n 1
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cd "$folder"
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --target lib dnspython==2.9.2 2>/dev/null
  PYTHONPATH="$folder/lib" timeout 50 unshare --net --mount "$script" inside
  exit
fi
ip link set lo up
ip link add near type veth peer name far
ip link set far up
ip link set near up
ip address add 10.9.1.7/24 dev near
ip route add default via 10.9.1.1
# Both files are replaced in the mount namespace of this script only.
echo 'nameserver 127.0.0.1' >resolv.conf
echo 'hosts: dns' >nsswitch.conf
for file in resolv.conf nsswitch.conf; do mount --bind "$file" "/etc/$file"; done
python3 - >seen <<'PYTHON'
import socket
import threading

import dns.message
import dns.rdatatype
import dns.rrset

ADDRESSES = {"far.test.": ["10.9.2.5", "10.9.3.5", "10.9.4.5"], "near.test.": ["10.9.1.5", "10.9.2.5", "10.9.3.5"]}


def serve():
    asked = 0
    while True:
        wire, client = server.recvfrom(4096)
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        name, kind = query.question[0].name, query.question[0].rdtype
        if kind == dns.rdatatype.A:
            addresses = ADDRESSES[name.to_text()]
            first, asked = asked % 3, asked + 1
            response.answer = [dns.rrset.from_text(name, 0, "IN", kind, *addresses[first:], *addresses[:first])]
        server.sendto(response.to_wire(), client)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve, daemon=True).start()
for name in "far.test", "near.test":
    by_getaddrinfo = {socket.getaddrinfo(name, 80, socket.AF_INET)[0][4][0] for _ in range(30)}
    by_gethostbyname = {socket.gethostbyname_ex(name)[2][0] for _ in range(30)}
    addresses = "3 first addresses" if len(by_getaddrinfo) == 3 else f"1 first address ({', '.join(by_getaddrinfo)})"
    print(f"{name}: getaddrinfo {addresses}, gethostbyname {len(by_gethostbyname)}")
PYTHON
cat seen
diff - seen <<'SEEN'
far.test: getaddrinfo 3 first addresses, gethostbyname 3
near.test: getaddrinfo 1 first address (10.9.1.5), gethostbyname 3
SEEN
