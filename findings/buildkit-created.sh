#!/usr/bin/env bash
# Package: docker.io 20.10.24+dfsg1-1+deb12u1 (Debian 12), its running daemon with the BuildKit in it, and busybox-static
# 1:1.35.0-4+deb12u1+b1, which is the only file of the image.
#
# Input: a Dockerfile built twice, four seconds apart, each time with another label that the command line gives, as a
# pipeline does with the commit. All steps come from the cache. Then `docker image prune` of what is older than two seconds.
# Guess before the run: the second image is another one, created when it was built, so prune keeps it.
#
# Behaviour seen: it is another one, but its `Created` is that of the first: BuildKit takes the time of the last step that
# ran. The classic builder takes the present. So `docker image prune --all --filter until=24h` removes an image that was
# built a second ago, and a list sorted by age does not show the order of the builds.
#
# Output seen:
#   BuildKit: another image, created at the same time, removed by prune
#   classic: another image, created later, kept by prune
set -euo pipefail
folder=$(mktemp -d)
name=created-$$
clean() {
  /usr/bin/docker image rm -f "$name:BuildKit-1" "$name:BuildKit-2" "$name:classic-1" "$name:classic-2" "$name-base" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap clean EXIT
chmod 755 "$folder"
cd "$folder"
/usr/bin/docker version --format 'docker {{.Server.Version}}'
apt-get -qq download busybox-static=1:1.35.0-4+deb12u1+b1 2>/dev/null
dpkg-deb --fsys-tarfile ./*.deb | tar -x ./bin/busybox
tar -c -C bin busybox | /usr/bin/docker import - "$name-base" >/dev/null
mkdir context
printf 'FROM %s-base\nRUN ["/busybox", "touch", "/built-%s"]\n' "$name" "$name" >context/Dockerfile

field() { /usr/bin/docker image inspect --format "{{.$2}}" "$name:$1"; }
try() {
  export DOCKER_BUILDKIT=$2
  for number in 1 2; do
    /usr/bin/docker build -q -t "$name:$1-$number" --label "finding=$name" --label "build=$number" context >/dev/null 2>&1
    # The times that are compared are seconds apart.
    [ $number = 2 ] || sleep 4
  done
  image=the\ same
  [ "$(field "$1-1" Id)" = "$(field "$1-2" Id)" ] || image=another
  created=later
  [ "$(field "$1-1" Created)" != "$(field "$1-2" Created)" ] || created='at the same time'
  /usr/bin/docker image prune --all --force --filter until=2s --filter "label=finding=$name" >/dev/null
  pruned='kept'
  /usr/bin/docker image inspect "$name:$1-2" >/dev/null 2>&1 || pruned='removed'
  echo "$1: $image image, created $created, $pruned by prune"
}
{
  try BuildKit 1
  try classic 0
} >seen
cat seen
diff seen - <<'EXPECTED'
BuildKit: another image, created at the same time, removed by prune
classic: another image, created later, kept by prune
EXPECTED
