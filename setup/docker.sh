#!/bin/sh
# Sees that a Docker Engine answers, and git is there: installs and starts them where we are root and have apt.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .setup

# The log of an engine that we start ourselves.
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
  installs || give_up "There is no git here." "Install it, then run this again: sudo apt-get install git"
  apt-get update -qq && apt-get install -y -qq git >/dev/null
fi

answers && exit 0

if ! command -v dockerd >/dev/null; then
  installs || give_up "No Docker Engine answers here, or you may not use it (group docker)." \
    "Install and start it, then run this again: sudo apt-get install docker.io"
  echo "setting up: the Docker Engine (apt-get install docker.io)"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io >/dev/null
fi

if ! answers; then
  [ "$(id -u)" = 0 ] || give_up "The Docker Engine is installed and does not answer you." \
    "Start it, and join its group: sudo systemctl start docker; sudo usermod -aG docker $(id -un)"
  echo "setting up: starting the Docker Engine"
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  elif ! pgrep -x dockerd >/dev/null; then
    # A killed engine leaves this behind, and the next one then refuses to start.
    rm -f /var/run/docker.pid
    setsid nohup dockerd >"$log" 2>&1 </dev/null &
  fi
fi

waited=0
until answers; do
  waited=$((waited + 1))
  if [ "$waited" -gt 120 ]; then
    tail -n 20 "$log" >&2 || true
    give_up "The Docker Engine does not answer after a minute." "Its own words are above; docker info says more."
  fi
  sleep 0.5
done
