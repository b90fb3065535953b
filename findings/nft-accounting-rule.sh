#!/usr/bin/env bash
# Package: nftables 1.0.6-2+deb12u2 (Debian 12), on Linux 6.18. Needs root, for a network namespace of its own.
#
# Input: net.netfilter.nf_conntrack_acct is 0. A rule with `ct original packets` is added and removed. A UDP flow from
# before the rule and one from after it go on, and rules count the packets of those that have sent at least three.
# Guess before trying: without accounting the rule is refused or never matches, and the setting stays 0.
#
# Behaviour seen: adding the rule writes the setting. It stays 1 when the rule, its table and its ruleset are gone. Only
# flows that begin afterwards are counted: the older one stays at zero for as long as it lives, so rules and sums by
# `ct bytes` or `ct packets` leave out just the longest flows. nft(8) mentions none of it.
#
# Output seen:
#   before 0, with the rule 1, without it 1
#   matched of 5 packets each: 0 of the older flow, 3 of the newer one
set -euo pipefail
script=$(realpath "$0")
if [ "${1:-}" != inside ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  chmod 755 "$folder"
  cd "$folder"
  apt-get -qq download nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11 libmnl0 libjansson4 libedit2 2>/dev/null
  for package in *.deb; do dpkg-deb -x "$package" .; done
  libraries=$(dirname "$(find "$folder" -name 'libnftables.so.1' | head -n 1)")
  PATH="$folder/usr/sbin:$PATH" LD_LIBRARY_PATH="$libraries" timeout 50 unshare --net "$script" inside
  exit
fi
ip link set lo up
python3 - >seen <<'PYTHON'
import pathlib
import re
import socket
import subprocess

SETTING = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_acct")
servers = {port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for port in (1001, 1002)}
for port, server in servers.items():
    server.bind(("127.0.0.1", port))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("127.0.0.1", 1000))


def nft(script):
    return subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True, capture_output=True).stdout


def send(port, packets):
    for _ in range(packets):
        client.sendto(b"x", ("127.0.0.1", port))
        servers[port].recv(9)


def matched(port):
    rule = next(line for line in nft("list ruleset").splitlines() if f"udp dport {port}" in line)
    return re.search(r"packets (\d+) bytes", rule).group(1)


SETTING.write_text("0")
# Connection tracking needs a rule that asks for it.
nft("""
table ip track {
	chain out {
		type filter hook output priority 0
		ct state new counter
	}
}
""")
send(1001, 1)
seen = [SETTING.read_text().strip()]
nft("""
table ip count {
	chain out {
		type filter hook output priority 0
		udp dport 1001 ct original packets >= 3 counter
		udp dport 1002 ct original packets >= 3 counter
	}
}
""")
seen.append(SETTING.read_text().strip())
send(1001, 5)
send(1002, 5)
counts = matched(1001), matched(1002)
nft("flush ruleset")
seen.append(SETTING.read_text().strip())
print("before {}, with the rule {}, without it {}".format(*seen))
print("matched of 5 packets each: {} of the older flow, {} of the newer one".format(*counts))
PYTHON
cat seen
diff - seen <<'SEEN'
before 0, with the rule 1, without it 1
matched of 5 packets each: 0 of the older flow, 3 of the newer one
SEEN
