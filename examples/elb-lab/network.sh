#!/bin/sh
# The network of the laboratory: a client in a network namespace, and a cable (veth) from there to this machine.
# At this machine's end are the addresses of two zones. 198.18.0.0/15 is reserved for tests, so no real network uses it.
#
#   client 198.18.0.2 ── 198.18.0.1 this machine   zone-a 198.18.1.0/24, zone-b 198.18.2.0/24
set -eu

name=elb-lab

up() {
  # A failure leaves nothing behind.
  trap 'test $? = 0 || down' EXIT
  ip netns add "$name"
  ip link add "$name" type veth peer name eth0 netns "$name"
  ip address add 198.18.0.1/24 dev "$name"
  for zone in 1 2; do
    # .10 is the zone's node of the ALB, .20 that of the NLB, .30 the NLB of step 8. The others are for servers.
    for host in 10 20 30 101 102 103 104 105 106 107 108; do
      ip address add "198.18.$zone.$host/24" dev "$name"
    done
  done
  ip link set "$name" up
  ip -netns "$name" address add 198.18.0.2/24 dev eth0
  ip -netns "$name" link set eth0 up
  ip -netns "$name" route add default via 198.18.0.1
}

down() {
  # The addresses and the other end of the cable disappear with this end.
  if [ -e "/sys/class/net/$name" ]; then ip link delete "$name"; fi
  if [ -e "/run/netns/$name" ]; then ip netns delete "$name"; fi
}

case "${1:-}" in
  up | down) "$1" ;;
  *) echo "usage: network.sh up|down" >&2 && exit 2 ;;
esac
