#!/bin/sh
# Build penstock-servers:bookworm, the image of Debian's PostgreSQL, Redis, dnsmasq and their clients, which tests use.
# As root with apt, install what is missing.
set -eu

own=penstock-servers:bookworm

docker image inspect "$own" >/dev/null 2>&1 && exit 0
if ! command -v mmdebstrap >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "mmdebstrap is not installed. Install it, then run this again: sudo apt-get install mmdebstrap" >&2
    exit 3
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mmdebstrap >/dev/null
fi
echo "setup: building $own from Debian packages"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# dash runs no EXIT trap when a signal ends it.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# Without a first cluster, and without what a server never reads here: half of the image.
mmdebstrap --quiet --variant=essential --include=postgresql-15,redis-server,dnsmasq-base,bind9-dnsutils \
  --essential-hook='mkdir "$1/etc/postgresql-common"' \
  --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=*/libLLVM*' --dpkgopt='path-exclude=*/bitcode/*' \
  bookworm "$work/servers.tar"
docker import "$work/servers.tar" "$own" >/dev/null
