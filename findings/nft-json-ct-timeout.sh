#!/usr/bin/env bash
# Package: nftables 1.0.6-2+deb12u2 (Debian 12), on Linux 6.18. Needs root, for a network namespace of its own.
#
# Input: `nft -j list ruleset`, saved and loaded again by `nft -j -f`, once for a table with a `ct timeout` object and
# once for one with a map from ports to addresses with ports. The same by `nft list ruleset` and `nft -f`.
# Guess before trying: what nft itself wrote loads again, and the ruleset is as before, in both forms.
#
# Behaviour seen: the text loads. From JSON, the time-outs are gone and nothing says so: the file has them, the exit
# status is 0, and the object has none, so its flows get the kernel's defaults (5 days for TCP). The file with the map is
# refused, since the type "ipv4_addr . inet_service", as nft writes it, is no type to its JSON parser.
#
# Output seen:
#   text: exit 0, policy = { established : 350, close : 5 }
#   JSON: exit 0, policy = {  }
#   text: exit 0, type inet_service : ipv4_addr . inet_service
#   JSON: exit 1, internal:0:0-0: Error: Invalid map type 'ipv4_addr . inet_service'.
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

# Load a file again and print what became of a line of it, or why it did not load.
reload() {
  nft flush ruleset
  status=0
  nft "${@:3}" -f "$2" 2>errors || status=$?
  echo "$1: exit $status, $({ head -n 1 errors; nft list ruleset | grep -E 'policy = |type ' | sed 's/^\s*//'; } | head -n 1)"
}

both() {
  nft -f -
  nft list ruleset >saved.nft
  nft -j list ruleset >saved.json
  reload text saved.nft
  reload JSON saved.json -j
}

both >seen <<'NFT'
table ip t {
	ct timeout short {
		protocol tcp
		l3proto ip
		policy = { established : 350, close : 5 }
	}
}
NFT
grep -q '"policy": {"established": 350, "close": 5}' saved.json || { echo "changed: the JSON lacks the policy"; exit 1; }
nft flush ruleset
both >>seen <<'NFT'
table ip t {
	map targets {
		type inet_service : ipv4_addr . inet_service
		elements = { 80 : 10.0.0.1 . 8080 }
	}
}
NFT
cat seen
diff - seen <<'SEEN'
text: exit 0, policy = { established : 350, close : 5 }
JSON: exit 0, policy = {  }
text: exit 0, type inet_service : ipv4_addr . inet_service
JSON: exit 1, internal:0:0-0: Error: Invalid map type 'ipv4_addr . inet_service'.
SEEN
