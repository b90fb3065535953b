#!/usr/bin/env bash
# Package: docker.io 20.10.24+dfsg1-1+deb12u1 (Debian 12), its running daemon. A registry on loopback plays the other side.
#
# Input: a push to a registry that answers the upload with 401 and the error of the registry's specification,
# {"code": "UNAUTHORIZED", "message": "authentication required"}, with the optional "detail" and without it.
# Guess before trying: Docker reports the refusal at once, because another try is refused too.
#
# Behaviour seen: with a detail it does. Without one, Docker tries again after 5, 10, 15 and 20 s, and then prints
# "unauthorized". If code and default message are alone, the client library decodes the error to its code, whose type is
# not in the list of errors that are not tried again. So whether a wrong password fails after 0.1 s or after 50 s
# depends on an optional field.
#
# Output seen:
#   with a detail: 1 upload, refused at once
#   without a detail: 2 uploads in 9 s, retrying
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
dpkg-query --show --showformat='docker.io ${Version}\n' docker.io 2>/dev/null || docker version --format 'docker {{.Server.Version}}'
timeout 55 python3 - "$folder" >"$folder/seen" <<'PYTHON'
import http.server
import json
import os
import subprocess
import sys
import threading
import time

uploads = []


class Refusing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    detail = {}

    def log_message(self, *_):
        pass

    def reply(self):
        if self.command == "POST":
            uploads.append(time.monotonic())
        error = {"code": "UNAUTHORIZED", "message": "authentication required", **self.detail}
        body = json.dumps({"errors": [error]}).encode() if self.path != "/v2/" else b""
        self.send_response(401 if body else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = reply


def push(detail):
    """Push for at most 9 s. Return the number of uploads and whether Docker gave up."""
    uploads.clear()
    Refusing.detail = detail
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    name = f"127.0.0.1:{server.server_address[1]}/refused:1"
    with open(os.path.join(sys.argv[1], "file"), "w") as file:
        file.write(name)
    tar = subprocess.run(["tar", "-c", "-C", sys.argv[1], "file"], capture_output=True, check=True).stdout
    subprocess.run(["docker", "import", "-", name], input=tar, capture_output=True, check=True)
    pushing = subprocess.Popen(["docker", "push", "--quiet", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pushing.wait(9)
        return len(uploads), True
    except subprocess.TimeoutExpired:
        return len(uploads), False
    finally:
        pushing.kill()
        pushing.wait()
        server.shutdown()
        server.server_close()
        subprocess.run(["docker", "rmi", name], capture_output=True, check=False)


count, ended = push({"detail": "push"})
print(f"with a detail: {count} upload, {'refused at once' if ended else 'retrying'}")
count, ended = push({})
print(f"without a detail: {count} uploads in 9 s, {'refused at once' if ended else 'retrying'}")
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
with a detail: 1 upload, refused at once
without a detail: 2 uploads in 9 s, retrying
SEEN
