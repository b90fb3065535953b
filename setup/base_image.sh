#!/bin/sh
# Choose the base image of the sample application and write its name to .setup/base-image.
# Order: $PENSTOCK_BASE_IMAGE, python:3.12-slim if it is present or can be pulled, an image built from Debian packages.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

preferred=python:3.12-slim
own=penstock-base:bookworm
chosen=.setup/base-image

here() {
  docker image inspect "$1" >/dev/null 2>&1
}

if [ -n "${PENSTOCK_BASE_IMAGE:-}" ]; then
  printf '%s' "$PENSTOCK_BASE_IMAGE" >"$chosen"
  exit 0
fi
[ -f "$chosen" ] && here "$(cat "$chosen")" && exit 0

if here "$preferred" || timeout 120 docker pull --quiet "$preferred" >/dev/null 2>&1; then
  printf '%s' "$preferred" >"$chosen"
  exit 0
fi

if ! here "$own"; then
  echo "setup: cannot pull $preferred, building $own from Debian packages"
  if ! command -v mmdebstrap >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
      echo "mmdebstrap is not installed." >&2
      echo "Install it with 'sudo apt-get install mmdebstrap', or set PENSTOCK_BASE_IMAGE to an image with Python." >&2
      exit 3
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mmdebstrap >/dev/null
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # dash runs no EXIT trap when a signal ends it.
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mmdebstrap --quiet --variant=essential --include=python3 bookworm "$work/base.tar"
  docker import --change 'CMD ["python3"]' "$work/base.tar" "$own" >/dev/null
fi
printf '%s' "$own" >"$chosen"
