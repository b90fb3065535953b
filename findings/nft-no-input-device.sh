#!/usr/bin/env bash
# Package: nftables 1.0.6-2+deb12u2 (Debian 12), on Linux 6.18. Needs root, for a network namespace of its own.
#
# Input: rules in a chain of the output hook, where a packet has no input device, that compare that device with another.
# Guess before trying: a comparison with a device that is not there never matches, whatever names the device.
#
# Behaviour seen: all are accepted. `iif` and `iifname` with `!=` match each packet: the missing device has the index 0
# and an empty name. `iiftype`, `iifkind` and `iifgroup` with `!=` match none, since the rule ends there. So "not from
# docker0", written for packets of others, also covers all of the machine's own, if the chain is used by both hooks.
#
# Output seen, for one packet:
#   iifname != "docker0": 1
#   iif != "lo": 1
#   meta iiftype != ppp: 0
#   meta iifkind != "veth": 0
#   iifgroup != 7: 0
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
nft -f - <<'NFT'
table ip t {
	chain out {
		type filter hook output priority 0
		udp dport 9 jump compare
	}
	chain compare {
		iifname != "docker0" counter
		iif != lo counter
		meta iiftype != ppp counter
		meta iifkind != "veth" counter
		iifgroup != 7 counter
	}
}
NFT
python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))'
nft list chain ip t compare | sed -nE 's/^\s*(.*) counter packets ([0-9]+) .*/\1: \2/p' >seen
cat seen
diff - seen <<'SEEN'
iifname != "docker0": 1
iif != "lo": 1
meta iiftype != ppp: 0
meta iifkind != "veth": 0
iifgroup != 7: 0
SEEN
