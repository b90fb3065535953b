#!/bin/sh
# Gets what the measurements compare with: Traefik and Caddy into .venv, nginx into .setup, and the load maker wrk.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

wanted=$(sha256sum requirements-bench.txt .venv/.made-from)
stamp=.setup/bench-made-from
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && command -v wrk >/dev/null && exit 0

echo "setting up: the proxies to compare with"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "The measurements need Debian's packages nginx and wrk, and root to get them." >&2
  echo "Run this as root on Debian or Ubuntu." >&2
  exit 3
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk >/dev/null
# Unpacked, not installed: an installed nginx starts at once, on port 80.
(cd .setup && apt-get download -qq nginx && dpkg -x nginx_*.deb nginx && rm nginx_*.deb)
printf '%s' "$wanted" >"$stamp"
