#!/bin/sh
# Install what the measurements need: Traefik, Caddy and numpy into .venv, nginx into .setup, and the load generator wrk.
# Without a program, the measurements leave out what needs it and say so.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

wanted=$(sha256sum requirements-bench.txt .venv/.made-from setup/bench.sh)
stamp=.setup/bench-made-from
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && command -v wrk >/dev/null && exit 0

echo "setup: installing nginx, Traefik, Caddy, numpy and wrk"
complete=yes
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt ||
  complete=no
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq || complete=no
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk >/dev/null || complete=no
  # Unpack nginx instead of installing it: the package starts it at once, on port 80.
  (cd .setup && apt-get download -qq nginx libnginx-mod-stream && for package in *.deb; do dpkg -x "$package" nginx; done &&
    rm ./*.deb) || complete=no
else
  echo "Installing nginx and wrk needs root on Debian or Ubuntu. Programs on PATH are used." >&2
  complete=no
fi
[ "$complete" = no ] || printf '%s' "$wanted" >"$stamp"
