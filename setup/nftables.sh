#!/bin/sh
# Check that nft and ip are installed, for the tests of the kernel's rules and for the laboratory. As root with apt,
# install what is missing.
set -eu

for name in nftables:nft iproute2:ip; do
  command -v "${name#*:}" >/dev/null && continue
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "${name#*:} is not installed, or not on PATH (/usr/sbin)." >&2
    echo "Install it, then run this again: sudo apt-get install ${name%:*}" >&2
    exit 3
  fi
  echo "setup: installing ${name%:*} (apt-get install ${name%:*})"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${name%:*}" >/dev/null
done
