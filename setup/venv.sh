#!/bin/sh
# Create .venv with the pinned requirements and this checkout. Do nothing if it is up to date.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.made-from
wanted=$(cat requirements-dev.txt pyproject.toml | sha256sum)
# A virtual environment stores its path, so a moved checkout needs a new one.
wanted="$wanted $(pwd)"

# With PYTHONDONTWRITEBYTECODE in the environment, each start of a command would compile our modules again.
compile_modules() {
  .venv/bin/python -m compileall -q pipeline stages
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  compile_modules
  exit 0
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Penstock needs Python 3.11 or newer as python3." >&2
  echo "Debian 12, Ubuntu 24.04 and later include it: apt-get install python3 python3-venv" >&2
  exit 3
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
  else
    echo "Python cannot create virtual environments: python3-venv is missing." >&2
    echo "Install it, then run this again: sudo apt-get install python3-venv" >&2
    exit 3
  fi
fi

echo "setup: creating the virtual environment .venv"
rm -rf .venv
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
compile_modules
printf '%s' "$wanted" > "$stamp"
