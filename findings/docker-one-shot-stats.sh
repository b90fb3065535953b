#!/usr/bin/env bash
# Package: docker.io 20.10.24+dfsg1-1+deb12u1 (Debian 12), its running daemon, and busybox-static
# 1:1.35.0-4+deb12u1+b1, which is the only file of the image.
#
# Input: GET /containers/ID/stats?stream=false&one-shot=true for two containers, one after the other and at the same time.
# The reference says that one-shot gets "a single stat instead of waiting for 2 cycles".
# Guess before trying: each call returns at once, since there is nothing to wait for.
#
# Behaviour seen: only a call after a pause does. One collector reads the containers that somebody waits for, and then
# sleeps for a second. So a second call, for the same container or for another one, waits for its next round. A program
# that reads ten containers one after the other takes ten seconds, and one that reads them at the same time takes one.
#
# Output seen:
#   after a pause: at once
#   another container then: after the rest of a second
#   the same container then: after the rest of a second
#   both at the same time: within 1.5 s
set -euo pipefail
folder=$(mktemp -d)
name=one-shot-$$
clean() {
    docker rm -f "$name-a" "$name-b" >/dev/null 2>&1 || true
    docker rmi "$name" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap clean EXIT
chmod 755 "$folder"
cd "$folder"
docker version --format 'docker {{.Server.Version}}'
apt-get -qq download busybox-static=1:1.35.0-4+deb12u1+b1 2>/dev/null
dpkg-deb --fsys-tarfile ./*.deb | tar -x ./bin/busybox
tar -c -C bin busybox | docker import - "$name" >/dev/null
for each in a b; do docker run -d --name "$name-$each" "$name" /busybox sleep 100 >/dev/null; done
timeout 40 python3 - "$name" >seen <<'PYTHON'
import http.client
import socket
import sys
import threading
import time


class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def seconds(each):
    begin = time.monotonic()
    engine = Engine("docker")
    engine.request("GET", f"/v1.41/containers/{sys.argv[1]}-{each}/stats?stream=false&one-shot=true")
    engine.getresponse().read()
    return time.monotonic() - begin


def word(took):
    return "at once" if took < 0.4 else "after the rest of a second"


def rounds():
    for _ in range(2):
        time.sleep(2.5)
        yield seconds("a"), seconds("b"), seconds("b")


# The quickest first call: a busy machine may delay some of them.
first, other, again = min(rounds())
print("after a pause:", word(first))
print("another container then:", word(other))
print("the same container then:", word(again))
time.sleep(2.5)
begin = time.monotonic()
threads = [threading.Thread(target=seconds, args=(each,)) for each in "ab"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("both at the same time:", "within 1.5 s" if time.monotonic() - begin < 1.5 else "longer")
PYTHON
cat seen
diff seen - <<'EXPECTED'
after a pause: at once
another container then: after the rest of a second
the same container then: after the rest of a second
both at the same time: within 1.5 s
EXPECTED
