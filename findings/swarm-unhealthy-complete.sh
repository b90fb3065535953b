#!/usr/bin/env bash
# Packages: docker.io 20.10.24+dfsg1-1+deb12u1+b6, containerd 1.6.20~ds1-1+deb12u3, runc 1.1.5+ds1-1+deb12u1,
# busybox-static 1:1.35.0-4+deb12u1+b1 (Debian 12). Needs root.
#
# Input: a Swarm of one node, in namespaces of its own. Three services with a health check that always fails, whose
# process ends at SIGTERM with code 0, with code 3, or only at SIGKILL, and one whose process ends by itself with 0.
# Guess before trying: a task that is ended because it is unhealthy is `failed`, and its error says that it was unhealthy.
# The restart condition `on-failure` starts it again.
#
# Behaviour seen: the state is that of the process after the SIGTERM that follows. One that ends properly leaves a task
# that is `complete`, without an error, as one that has done its work. `on-failure` does not start it again, so the
# service has no task any more and nothing says why. Only with another exit code the task is `failed`, with the reason.
#
# Output seen:
#   unhealthy, ends with 0: complete, exit code 0, error '', tasks: 1
#   unhealthy, ends with 3: failed, exit code 3, error 'task: non-zero exit (3): dockerexec: unhealthy container', tasks: more
#   unhealthy, ignores SIGTERM: failed, exit code 137, error 'task: non-zero exit (137): dockerexec: unhealthy container', tasks: more
#   done by itself with 0: complete, exit code 0, error '', tasks: 1
set -euo pipefail
folder=$(mktemp -d /tmp/unhealthy.XXXXXX)
machine=""
clean() {
  [ -z "$machine" ] || kill -KILL "$machine" 2>/dev/null || true
  [ -z "$machine" ] || wait "$machine" 2>/dev/null || true
  for _ in $(seq 50); do rm -rf "$folder" 2>/dev/null && break; sleep 0.1; done
}
trap clean EXIT
cd "$folder"
apt-get download --quiet=2 docker.io=20.10.24+dfsg1-1+deb12u1+b6 containerd=1.6.20~ds1-1+deb12u3 \
  runc=1.1.5+ds1-1+deb12u1 busybox-static=1:1.35.0-4+deb12u1+b1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
mkdir -p image/bin run
cp root/bin/busybox image/bin/sh
tar -C image -c . >image.tar
cat >inside <<'INSIDE'
set -euo pipefail
hostname node1
ip link set lo up
mount --bind run /run
dockerd --data-root="$PWD/data" --exec-root="$PWD/exec" --pidfile="$PWD/pid" --host="unix://$PWD/socket" \
  --iptables=false --ip-masq=false --ip6tables=false >log 2>&1 &
export DOCKER_HOST="unix://$PWD/socket"
until docker info >/dev/null 2>&1; do sleep 0.1; done
docker import image.tar base >/dev/null
image=$(docker image inspect --format '{{.Id}}' base)
docker swarm init --advertise-addr 127.0.0.1 >/dev/null
make() {
  local name=$1 check=$2 script=$3
  docker service create --quiet --detach --no-resolve-image --name "$name" --restart-condition on-failure \
    --restart-delay 200ms --stop-grace-period 1s --health-cmd "$check" --health-interval 300ms --health-retries 1 \
    "$image" sh -c "$script" >/dev/null
}
loop='while :; do sleep 0.1; done'
make zero 'exit 1' "trap 'exit 0' TERM; $loop"
make three 'exit 1' "trap 'exit 3' TERM; $loop"
make deaf 'exit 1' "trap '' TERM; $loop"
make done 'exit 0' 'exit 0'
show() {
  local name=$2 ids="" first="" state=""
  until case $state in complete | failed) true ;; *) false ;; esac; do
    sleep 0.1
    ids=$(docker service ps --quiet --no-trunc "$name")
    first=$(tail -n 1 <<<"$ids")
    state=$(docker inspect --type task --format '{{.Status.State}}' "$first")
  done
  sleep 1.5
  local count=more
  [ "$(docker service ps --quiet "$name" | wc -l)" -gt 1 ] || count=1
  docker inspect --type task --format \
    "$1: {{.Status.State}}, exit code {{.Status.ContainerStatus.ExitCode}}, error '{{.Status.Err}}', tasks: $count" "$first"
}
show 'unhealthy, ends with 0' zero
show 'unhealthy, ends with 3' three
show 'unhealthy, ignores SIGTERM' deaf
show 'done by itself with 0' done
INSIDE
PATH="$folder/root/usr/sbin:$folder/root/usr/bin:$folder/root/sbin:$PATH" \
  unshare --pid --fork --kill-child --mount --mount-proc --net --uts timeout 45 bash inside >seen 2>errors &
machine=$!
wait "$machine" || { cat errors log >&2; exit 1; }
machine=""
echo "docker.io 20.10.24: a task that is ended because its health check fails"
cat seen
diff - seen <<'EXPECTED' && echo "as described"
unhealthy, ends with 0: complete, exit code 0, error '', tasks: 1
unhealthy, ends with 3: failed, exit code 3, error 'task: non-zero exit (3): dockerexec: unhealthy container', tasks: more
unhealthy, ignores SIGTERM: failed, exit code 137, error 'task: non-zero exit (137): dockerexec: unhealthy container', tasks: more
done by itself with 0: complete, exit code 0, error '', tasks: 1
EXPECTED
