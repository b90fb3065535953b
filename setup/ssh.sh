#!/bin/sh
# Check that ssh and sshd are installed, for the tests of hosts that are reached by SSH. As root with apt, install what
# is missing. A test starts its own sshd. The one of the package is not started, neither now nor when the machine boots.
set -eu
PATH=$PATH:/usr/sbin

for name in openssh-client:ssh openssh-server:sshd; do
  command -v "${name#*:}" >/dev/null && continue
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "${name#*:} is not installed." >&2
    echo "Install it, then run this again: sudo apt-get install ${name%:*}" >&2
    exit 3
  fi
  echo "setup: installing ${name%:*} (apt-get install ${name%:*})"
  apt-get update -qq
  # Debian's scripts ask this program whether they may start a service.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    # dash runs no EXIT trap when a signal ends it, and this program would keep every service from starting.
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${name%:*}" >/dev/null
  if command -v systemctl >/dev/null && [ "${name#*:}" = sshd ]; then
    systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
  fi
done
