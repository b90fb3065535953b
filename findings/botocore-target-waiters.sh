#!/usr/bin/env bash
# Package: botocore 1.44.8 (PyPI), which boto3 and the AWS CLI are made from.
#
# Input: the waiters of `elbv2` for targets, against a server that gives one answer. Both answers are in the model of
# DescribeTargetHealth: no targets, and the error InvalidTarget. The waiters ask 5 times without delay; their default is
# 40 times, 15 s apart.
# Guess before trying: in a group without targets all are deregistered, so that waiter is done at once. A target that is
# not known yet is waited for, since the waiter for targets in service repeats after an error of that kind.
#
# Behaviour seen: without targets, both waiters ask to the end and fail, so with their defaults they take ten minutes to
# say so: "all" needs at least one. For InvalidTarget, `target_in_service` fails with the first answer: it repeats for
# InvalidInstance, an error of the classic load balancer, which is not in the model of `elbv2` at all.
#
# Output seen:
#   no targets: target_deregistered asks 5 times, Max attempts exceeded
#   no targets: target_in_service asks 5 times, Max attempts exceeded
#   InvalidTarget: target_deregistered asks 1 times, done
#   InvalidTarget: target_in_service asks 1 times, An error occurred (InvalidTarget): unknown
#   errors in the model: InvalidTarget yes, InvalidInstance no
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --no-compile --quiet --disable-pip-version-check --target lib botocore==1.44.8 2>/dev/null
PYTHONPATH="$folder/lib" timeout 30 python3 - >seen <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import botocore.session
from botocore.exceptions import WaiterError

NAMESPACE = 'xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"'
ANSWERS = {
    "no targets": (
        200,
        f"<DescribeTargetHealthResponse {NAMESPACE}><DescribeTargetHealthResult><TargetHealthDescriptions/>"
        "</DescribeTargetHealthResult></DescribeTargetHealthResponse>",
    ),
    "InvalidTarget": (
        400,
        f"<ErrorResponse {NAMESPACE}><Error><Type>Sender</Type><Code>InvalidTarget</Code><Message>unknown</Message>"
        "</Error></ErrorResponse>",
    ),
}


class Handler(BaseHTTPRequestHandler):
    answer = None
    asked = 0

    def do_POST(self):
        Handler.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = Handler.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = botocore.session.get_session().create_client(
    "elbv2",
    region_name="us-east-1",
    endpoint_url=f"http://127.0.0.1:{server.server_port}",
    aws_access_key_id="id",
    aws_secret_access_key="secret",
)
for name, Handler.answer in ANSWERS.items():
    for waiter in "target_deregistered", "target_in_service":
        Handler.asked = 0
        try:
            client.get_waiter(waiter).wait(
                TargetGroupArn="arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/0123456789abcdef",
                WaiterConfig={"Delay": 0, "MaxAttempts": 5},
            )
            result = "done"
        except WaiterError as error:
            result = error.kwargs["reason"]
        print(f"{name}: {waiter} asks {Handler.asked} times, {result}")
shapes = client.meta.service_model.operation_model("DescribeTargetHealth").error_shapes
codes = {shape.metadata["error"]["code"] for shape in client.meta.service_model.error_shapes}
assert "InvalidTarget" in {shape.metadata["error"]["code"] for shape in shapes}
known = {code: "yes" if code in codes else "no" for code in ("InvalidTarget", "InvalidInstance")}
print("errors in the model:", ", ".join(f"{code} {answer}" for code, answer in known.items()))
PYTHON
cat seen
diff - seen <<'SEEN'
no targets: target_deregistered asks 5 times, Max attempts exceeded
no targets: target_in_service asks 5 times, Max attempts exceeded
InvalidTarget: target_deregistered asks 1 times, done
InvalidTarget: target_in_service asks 1 times, An error occurred (InvalidTarget): unknown
errors in the model: InvalidTarget yes, InvalidInstance no
SEEN
