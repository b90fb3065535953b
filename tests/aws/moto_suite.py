"""Runs moto's own tests of ELBv2 against Penstock. Needs moto's source, which is not part of the repository.

    python -m tests.aws.moto_suite FOLDER --python VENV/bin/python [PYTEST-ARGUMENT ...]

FOLDER is that of moto's source distribution, and VENV has `moto[server]`, boto3 and pytest. The tests run in moto's
server mode. A front sends requests for ELBv2 and CloudFormation to Penstock, over a fake data plane whose targets pass
all checks, and all others to moto's server. Networks and certificates are those of that server, and those that stacks
have made.

The exit code is 0 if the cases that fail are those of `moto_differences.py`.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from pipeline.aws.endpoint import Endpoint
from pipeline.aws.keys import AccessKey
from pipeline.aws.message import HttpRequest
from pipeline.aws.service import Call, Service
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import Facts
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.network import Endpoint as Place
from pipeline.balancer.elbv2.network import Subnet
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.balancer.model.tls import Certificate
from pipeline.base.sockets import free_port
from pipeline.certificates.store import CertificateStore
from pipeline.machine.network import MachineNetwork
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.parameter_store.store import ParameterStore
from pipeline.stacks.cloudformation.service import cloudformation_service
from pipeline.stacks.providers.aws_types import aws_types
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.providers.machine import Machine
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.stacks import Stacks
from pipeline.testing.fakes.data_plane import FakePlane
from tests.aws.moto_differences import counts, passing, reason_of
from tests.support.waiting import until

OWNER, SECRET, ELB = "moto", "FOOBARSECRET", "elasticloadbalancing"
# The case that is left out waits for ever, until a terminated instance is removed from its target group.
SUITE = ["tests/test_elbv2", "--deselect", "tests/test_elbv2/test_elbv2_target_health.py::test_register_targets"]
SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")


class PassingPlane(FakePlane):
    """A plane whose targets pass every check."""

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        for held in super().observe(groups).targets.values():
            for target in held:
                self.answer_checks(target)
        self.run_checks()
        return super().observe(groups)


class MotoNetwork:
    """The networks, certificates and instances of moto's server, in every region that a client has used.

    `own` are the networks and certificates that stacks have made.
    """

    def __init__(self, port: int, own: MachineNetwork) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._own = own
        self.regions: dict[str, None] = {"us-east-1": None}
        """Regions in the order of their last use."""

    @cached_property
    def _session(self) -> Any:
        import botocore.session

        session = botocore.session.get_session()
        session.set_credentials("FOOBARKEY", SECRET)
        return session

    @cache  # noqa: B019 - there is one network
    def _client(self, service: str, region: str) -> Any:
        return self._session.create_client(service, region_name=region, endpoint_url=self._url)

    def _ask(self, service: str, operation: str, **parameters: Any) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError, ParamValidationError

        for region in reversed(self.regions):
            try:
                found: dict[str, Any] = getattr(self._client(service, region), operation)(**parameters)
            except (ClientError, ParamValidationError):
                continue
            return found
        return None

    def holding(self) -> AbstractContextManager[None]:
        return nullcontext()

    def subnet(self, owner: str, id_: str) -> Subnet | None:
        if own := self._own.subnet(owner, id_):
            return own
        found = self._ask("ec2", "describe_subnets", SubnetIds=[id_])
        if not found:
            return None
        one = found["Subnets"][0]
        zone = one["AvailabilityZone"]
        return Subnet(id_, one["VpcId"], zone, zone, ip_network(f"127.0.0.{ord(zone[-1]) - ord('a') + 1}"))

    def zone(self, name: str) -> str | None:
        return name

    def has_vpc(self, owner: str, id_: str) -> bool:
        return self._own.has_vpc(owner, id_) or self._ask("ec2", "describe_vpcs", VpcIds=[id_]) is not None

    def has_security_group(self, owner: str, id_: str) -> bool:
        return self._ask("ec2", "describe_security_groups", GroupIds=[id_]) is not None

    def address(self, owner: str, allocation: str) -> str | None:
        found = self._ask("ec2", "describe_addresses", AllocationIds=[allocation])
        return found["Addresses"][0]["PublicIp"] if found else None

    def certificate(self, owner: str, arn: str) -> Certificate | None:
        # As moto, it does not ask for a certificate of IAM.
        is_known = ":iam:" in arn or self._ask("acm", "describe_certificate", CertificateArn=arn) is not None
        return Certificate(certificate=f"/{arn}") if is_known else None

    def instance(self, owner: str, id_: str, port: int) -> Place | None:
        found = self._ask("ec2", "describe_instances", InstanceIds=[id_])
        instance = found["Reservations"][0]["Instances"][0] if found else {}
        is_running = instance.get("State", {}).get("Name") == "running"
        return Place(instance["PrivateIpAddress"], port) if is_running else None

    def function(self, owner: str, name: str) -> Place | None:
        return Place("127.0.0.1", 9000)


class Front(ThreadingHTTPServer):
    """Sends each request to Penstock or to moto's server."""

    daemon_threads = True

    def __init__(self, folder: Path, moto_port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.moto_port = moto_port
        self.network: MotoNetwork
        self.endpoint: Endpoint
        self._folders = (folder / str(number) for number in count())
        self.reset()

    def reset(self) -> None:
        """Forget everything that was made."""
        folder = next(self._folders)
        folder.mkdir()
        balancer, networks = Balancer(folder / "balancer", PassingPlane()), NetworkStore(folder, DEFAULT_ZONES)
        certificates = CertificateStore(folder)
        own = MachineNetwork(Networks(networks), DEFAULT_ZONES, certificates, lambda _: [])
        self.network = MotoNetwork(self.moto_port, own)
        parameters = ParameterStore(folder)
        kept = KeptStore(folder)
        machine = Machine(kept, networks, certificates, parameters, balancer, self.network, lambda _: None)
        types = ResourceTypes(aws_types(machine))
        zones = [zone.name for zone in DEFAULT_ZONES]
        stacks = Stacks(folder / "penstock.db", folder / "locks", lambda _: types, zones)
        services = [elbv2_service(Api(balancer, self.network)), _waiting(stacks)]
        self.endpoint = Endpoint(services, lambda id_: key_of(id_))


def _waiting(stacks: Stacks) -> Service:
    """Return CloudFormation's service, of which CreateStack returns at its end, as moto's does."""
    service = cloudformation_service(lambda: stacks)
    create = service.operations["CreateStack"]

    def create_stack(call: Call) -> Mapping[str, Any]:
        made = create(call)
        stacks.wait(made["StackId"], timedelta(seconds=60))
        return made

    return replace(service, operations={**service.operations, "CreateStack": create_stack})


def key_of(id_: str) -> AccessKey:
    """Return the key with which moto's tests sign."""
    return AccessKey(id_, SECRET, OWNER, datetime.now(UTC))


class Handler(BaseHTTPRequestHandler):
    """One connection of a test."""

    protocol_version = "HTTP/1.1"
    server: Front

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/moto-api/reset":
            self.server.reset()
        scope = SCOPE.search(self.headers.get("Authorization", ""))
        if scope:
            self.server.network.regions.pop(scope[1], None)
            self.server.network.regions[scope[1]] = None
        if scope and (scope[2] == "cloudformation" or (scope[2] == ELB and b"Version=2015-12-01" in body)):
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = self.server.endpoint.answer(HttpRequest("POST", parts.path, parts.query, headers, body))
            self._send(answer.status, dict(answer.headers), answer.body)
        else:
            self._pass_on(body)

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - names of the standard library

    def _pass_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.moto_port, timeout=60)
        headers = {**self.headers, "Content-Length": str(len(body))}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self._send(answer.status, dict(answer.getheaders()), content)
        connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Print nothing: pytest reports the failures."""


@contextmanager
def moto_server(python: Path, port: int) -> Iterator[None]:
    """Run moto's server."""
    environment = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    command: list[str | Path] = [
        python,
        "-c",
        "from moto.server import main; main()",
        "-p",
        str(port),
        "-H",
        "127.0.0.1",
    ]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            until(lambda: _accepts(port), "moto's server accepts connections", deadline=60)
            yield
        finally:
            server.terminate()


def _accepts(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/moto-api/")
        connection.getresponse()
    except OSError:
        return False
    return True


def main() -> int:
    """Run the tests. Return 0 if those that fail are the known ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", type=Path, required=True)
    options, rest = parser.parse_known_args()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="moto-", dir="/dev/shm") as directory, moto_server(options.python, port):
        front = Front(Path(directory), port)
        threading.Thread(target=front.serve_forever, daemon=True).start()
        environment = {
            **os.environ,
            "TEST_SERVER_MODE": "true",
            "TEST_SERVER_MODE_ENDPOINT": f"http://127.0.0.1:{front.server_port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "FOOBARKEY",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        report = Path(directory) / "report.xml"
        command = [options.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        subprocess.run([*command, *(rest or SUITE)], cwd=options.folder, env=environment, check=False)
        return _compare(report, is_complete=not rest)


def _compare(report: Path, *, is_complete: bool) -> int:
    """Print how the result differs from what is known. Return the exit code."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [_name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None]
    new = [f"should pass: {case}" for case in failed if reason_of(case) is None]
    gone = [f"passes now: {case}" for case in passing(failed)] if is_complete else []
    known = [f"{number:3} {reason}" for reason, number in counts(failed).items()]
    lines = [*known, f"{len(cases) - len(failed):3} passed", *new, *gone]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if new or gone else 0


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"


if __name__ == "__main__":
    sys.exit(main())
