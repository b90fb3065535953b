#!/bin/sh
# Install what the measurements need: Traefik and Caddy into .venv, nginx into .setup, and the load generator wrk.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

wanted=$(sha256sum requirements-bench.txt .venv/.made-from)
stamp=.setup/bench-made-from
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && command -v wrk >/dev/null && exit 0

echo "setup: installing nginx, Traefik, Caddy and wrk"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "The measurements need the Debian packages nginx and wrk. Installing them needs root." >&2
  echo "Run this as root on Debian or Ubuntu." >&2
  exit 3
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk >/dev/null
# Unpack nginx instead of installing it: the package starts it at once, on port 80.
(cd .setup && apt-get download -qq nginx && dpkg -x nginx_*.deb nginx && rm nginx_*.deb)
printf '%s' "$wanted" >"$stamp"
