#!/bin/bash
# Packages: gunicorn 23.0.0 from PyPI.
#
# Input: two idle workers. SIGHUP, which replaces the workers, and SIGTERM a few milliseconds later.
# Guess before the run: a worker that is just being forked misses the SIGTERM, so the master waits for graceful_timeout.
# Behavior: as guessed, if the SIGTERM comes while the new workers start, some 10 to 50 ms after the SIGHUP. The log has
# "Booting worker" after "Handling signal: term", and an idle server takes the whole graceful_timeout (3 s here, 30 s by
# default) to exit. So an `on_drain` of SIGHUP makes the stop that may follow at once slow, or ends in a SIGKILL.
set -euo pipefail
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --no-cache-dir --quiet --disable-pip-version-check gunicorn==23.0.0 2>/dev/null
cat >app.py <<'PY'
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
PY
for gap in 0.02 0.01 0.03 0.005 0.02 0.04 0.01 0.03 0.05 0.02; do
  : >log
  venv/bin/gunicorn app:application --bind unix:socket --workers 2 --graceful-timeout 3 >>log 2>&1 &
  pid=$!
  for _ in $(seq 100); do [ "$(grep -c 'Booting worker' log)" -eq 2 ] && break; sleep 0.05; done
  venv/bin/python -c "
import os, time
time.sleep(0.5)  # the workers boot
os.kill($pid, 1)
time.sleep($gap)
os.kill($pid, 15)"
  before=$(date +%s%N)
  wait "$pid" || true
  pid=
  took=$((($(date +%s%N) - before) / 1000000))
  echo "SIGTERM $gap s after SIGHUP: exited after $took ms"
  if [ "$took" -ge 2500 ]; then
    cat log
    echo "as described: an idle server took the whole graceful_timeout"
    exit 0
  fi
done
echo "changed: each try exited at once"
exit 1
