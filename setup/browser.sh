#!/bin/sh
# Check that Chromium is installed, and fetch axe-core into .setup/axe-core, for the tests of the web interface. As root
# with apt, install what is missing.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

version=4.14.1
checksum=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
folder=.setup/axe-core

for name in chromium npm; do
  # npm only fetches a package.
  [ "$name" = npm ] && [ -f "$folder/$version/axe.min.js" ] && continue
  command -v "$name" >/dev/null && continue
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$name is not installed, or not on PATH." >&2
    echo "Install it, then run this again: sudo apt-get install $name" >&2
    exit 3
  fi
  echo "setup: installing $name (apt-get install $name)"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$name" >/dev/null
done

[ -f "$folder/$version/axe.min.js" ] && exit 0
echo "setup: fetching axe-core $version"
mkdir -p "$folder"
work=$(mktemp -d "$folder/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
# dash runs no EXIT trap when a signal ends it.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
(cd "$work" && npm pack --silent "axe-core@$version" >/dev/null)
echo "$checksum  $work/axe-core-$version.tgz" | sha256sum --check --quiet
tar -xzf "$work/axe-core-$version.tgz" -C "$work" package/axe.min.js package/LICENSE
# Whole or not at all, also when two tests fetch it at the same time.
mv -T "$work/package" "$folder/$version" 2>/dev/null || [ -f "$folder/$version/axe.min.js" ]
