#!/bin/sh
# Check that git is installed and that a Docker Engine answers. As root with apt, install and start what is missing.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

# The log of an engine that this script starts.
log=.setup/dockerd.log

answers() {
  command -v docker >/dev/null && docker info >/dev/null 2>&1
}

give_up() {
  echo "$1" >&2
  echo "$2" >&2
  exit 3
}

installs() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

if ! command -v git >/dev/null; then
  installs || give_up "git is not installed." "Install it, then run this again: sudo apt-get install git"
  apt-get update -qq && apt-get install -y -qq git >/dev/null
fi

answers && exit 0

if ! command -v dockerd >/dev/null; then
  installs || give_up "No Docker Engine answers, or you have no access to it (group docker)." \
    "Install and start it, then run this again: sudo apt-get install docker.io"
  echo "setup: installing the Docker Engine (apt-get install docker.io)"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io >/dev/null
fi

if ! answers; then
  [ "$(id -u)" = 0 ] || give_up "The Docker Engine is installed but does not answer." \
    "Start it, and add yourself to its group: sudo systemctl start docker; sudo usermod -aG docker $(id -un)"
  echo "setup: starting the Docker Engine"
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  elif ! pgrep -x dockerd >/dev/null; then
    # A killed engine leaves this file, and the next one does not start while it exists.
    rm -f /var/run/docker.pid
    # The programs that dockerd starts for each container end soon, and spend a tenth of their time on collecting garbage.
    GOGC=400 GOMEMLIMIT=1GiB setsid nohup dockerd >"$log" 2>&1 </dev/null &
  fi
fi

waited=0
until answers; do
  waited=$((waited + 1))
  if [ "$waited" -gt 120 ]; then
    tail -n 20 "$log" >&2 || true
    give_up "The Docker Engine does not answer after a minute." "Its log is above. Run 'docker info' for details."
  fi
  sleep 0.5
done
