#!/bin/sh
# Check that Pebble is installed, for the tests of certificates by ACME. As root with apt, install it.
set -eu

command -v pebble >/dev/null && command -v pebble-challtestsrv >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "pebble or pebble-challtestsrv is not installed, or not on PATH." >&2
  echo "Install it, then run this again: sudo apt-get install pebble" >&2
  exit 3
fi
echo "setup: installing pebble (apt-get install pebble)"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq pebble >/dev/null
