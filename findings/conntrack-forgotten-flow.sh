#!/usr/bin/env bash
# Packages: conntrack 1:1.4.7-1+b2 and nftables 1.0.6-2+deb12u2 (Debian 12), on Linux 6.18. Needs root, for a network
# namespace of its own.
#
# Input: a TCP connection to a server behind a `dnat` rule. `conntrack -D` forgets the flow, as its idle time-out does.
# Then one side sends three bytes.
# Guess before trying: the connection is lost, since the rule is for new connections, and this one is in its middle.
#
# Behaviour seen: it depends on who speaks first. If it is the client, the connection goes on in both directions: with
# nf_conntrack_tcp_loose, which is on by default, its packet begins a new flow in the middle, and the rule translates it.
# If it is the server, its packet is not translated back. The client's machine does not know it and resets the server.
# So an idle time-out in the table ends connections of servers that push, and no others.
#
# Output seen:
#   the client speaks first: b'3', then the server: b'4'
#   the server speaks first: nothing arrives, and then its connection is reset
set -euo pipefail
script=$(realpath "$0")
if [ "${1:-}" != inside ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  chmod 755 "$folder"
  cd "$folder"
  apt-get -qq download conntrack=1:1.4.7-1+b2 libnetfilter-conntrack3 libnfnetlink0 libmnl0 \
    nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11 libjansson4 libedit2 2>/dev/null
  for package in *.deb; do dpkg-deb -x "$package" .; done
  libraries=$(dirname "$(find "$folder" -name 'libnftables.so.1' | head -n 1)")
  PATH="$folder/usr/sbin:$PATH" LD_LIBRARY_PATH="$libraries" timeout 50 unshare --net "$script" inside
  exit
fi
ip link set lo up
for host in 1 2 9; do ip address add "10.9.0.$host/32" dev lo; done
nft -f - <<'NFT'
table ip t {
	chain out {
		type nat hook output priority -100
		ip daddr 10.9.0.9 tcp dport 80 dnat to 10.9.0.1:80
	}
}
NFT
test "$(cat /proc/sys/net/netfilter/nf_conntrack_tcp_loose)" = 1
python3 - >seen <<'PYTHON'
import socket
import subprocess

server = socket.create_server(("10.9.0.1", 80))


def forgotten_connection():
    """Return both ends of a connection that has carried data and that the kernel has then forgotten."""
    client = socket.create_connection(("10.9.0.9", 80), timeout=5, source_address=("10.9.0.2", 0))
    accepted, _ = server.accept()
    accepted.settimeout(5)
    for one, other in ((client, accepted), (accepted, client)):
        one.sendall(b"1")
        assert other.recv(9) == b"1"
    subprocess.run(["conntrack", "-D", "-p", "tcp"], capture_output=True, check=True)
    return client, accepted


client, accepted = forgotten_connection()
client.sendall(b"3")
there = accepted.recv(9)
accepted.sendall(b"4")
print(f"the client speaks first: {there}, then the server: {client.recv(9)}")
client, accepted = forgotten_connection()
accepted.sendall(b"3")
try:
    end = accepted.recv(9)
except ConnectionResetError:
    end = "its connection is reset"
client.setblocking(False)
try:
    there = client.recv(9)
except BlockingIOError:
    there = "nothing arrives"
print(f"the server speaks first: {there}, and then {end}")
PYTHON
cat seen
diff - seen <<'SEEN'
the client speaks first: b'3', then the server: b'4'
the server speaks first: nothing arrives, and then its connection is reset
SEEN
