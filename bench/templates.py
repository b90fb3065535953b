"""Creates a stack from each template of a folder, asks its listeners, and deletes it.

`python -m bench.templates FOLDER [--name FILE=STACK] [--parameter KEY=VALUE]` prints a line for each template. The
folder is outside the repository, because templates are data of others. Parameters without a default get plausible
values. What a template imports from other stacks is exported by a stack made for that.

A stack that is named comes first, and stays for the templates that have its name as a default. All others are deleted
before the next one, because two load balancers cannot have the same port.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import json
import re
import ssl
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from pipeline.balancer.model import Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.network.defaults import default_resources, default_vpc_id
from pipeline.network.kinds import Kind
from pipeline.network.zones import Zone
from pipeline.stacks.goals import StackRequest, parsed
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.records import Stack
from pipeline.stacks.stacks import Stacks
from pipeline.stacks.status import StackStatus
from pipeline.stacks.template import TemplateError

OWNER, REGION = "aws", "us-east-1"
# The port on which images of the measurement answer.
_TARGET_PORT = "8080"
_TIMEOUT = timedelta(minutes=5)
# No other program has these addresses, so the ports in templates are free.
_ZONES = tuple(Zone(f"local-{letter}", f"127.15.0.{number}") for number, letter in enumerate("abcd", 1))
_MISSING = re.compile(r"No export named (\S+) found")
_MAX_IMPORTS = 40
_CERTIFICATE = """
Resources: {Own: {Type: AWS::CertificateManager::Certificate, Properties: {DomainName: shop.localhost}}}
Outputs: {Arn: {Value: !Ref Own}}
"""


@dataclass
class Outcome:
    """What became of a template."""

    name: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    resources: int = 0
    answers: list[str] = field(default_factory=list)
    deleted: str = ""


class Trial:
    """Stacks of a home of its own."""

    def __init__(
        self, home: Home, folder: Path, names: Mapping[str, str], values: Mapping[str, str], port: int
    ) -> None:
        self._home = home
        self._port = port
        self._folder = folder
        self._names = names
        self._values = values
        self.stacks: Stacks = open_stacks(home, _ZONES)
        defaults = default_resources(OWNER, _ZONES)
        self._vpc = default_vpc_id(OWNER)
        self._subnets = [each.id for each in defaults if each.kind is Kind.SUBNET]
        self._group = next(each.id for each in defaults if each.kind is Kind.SECURITY_GROUP)
        self._certificate = self._new_certificate()

    def _new_certificate(self) -> str:
        return self._create("certificate", _CERTIFICATE, {}).outputs[0].value

    def run(self, file: Path, *, keep: bool) -> Outcome:
        """Create a stack from a template, ask its listeners, and delete it unless others need it."""
        # Templates make names of it, of which those of target groups have at most 32 characters.
        short = f"t{zlib.crc32(file.name.encode()):08x}"
        name = self._names.get(file.stem.rpartition("__")[2], short)
        started = time.monotonic()
        try:
            text = file.read_text()
            parameters = self._parameters(parsed(text, file.name).summary())
            stack = self._start(name, text, parameters)
        except PenstockError as error:
            return Outcome(file.name, "REFUSED", f"{error.message} {error.hint or ''}".strip())
        outcome = Outcome(file.name, stack.status, seconds=time.monotonic() - started)
        outcome.resources = len(self.stacks.store.resources(stack.id))
        if stack.status is StackStatus.CREATE_COMPLETE:
            outcome.answers = list(self._answers(f"stack/{name}"))
        else:
            outcome.reason = self._failure(stack)
        if not keep:
            outcome.deleted = self._delete(stack)
        return outcome

    def delete_all(self) -> None:
        """Delete what is left, apart from the certificate."""
        for stack in self.stacks.store.all(OWNER):
            if stack.name != "certificate" and not stack.deleted:
                self._delete(stack)

    def _delete(self, stack: Stack) -> str:
        self.stacks.delete(OWNER, stack.id)
        return self.stacks.wait(stack.id, _TIMEOUT).status

    def _create(self, name: str, text: str, parameters: Mapping[str, str]) -> Stack:
        request = StackRequest(text, parameters, folder=str(self._folder))
        return self.stacks.wait(self.stacks.create(OWNER, REGION, name, request).id, _TIMEOUT)

    def _failure(self, stack: Stack) -> str:
        events = [event for _, event in self.stacks.store.events(stack.id)]
        failed = (each for each in events if each.status.endswith("_FAILED"))
        return next((f"{each.logical_id} ({each.type}): {each.reason}" for each in failed), "")

    def _parameters(self, summary: Mapping[str, Any]) -> dict[str, str]:
        keys = {each["ParameterKey"] for each in summary["Parameters"]}
        missing = [each for each in summary["Parameters"] if "DefaultValue" not in each]
        guessed = {each["ParameterKey"]: self._value(each) for each in missing}
        return {**guessed, **{key: value for key, value in self._values.items() if key in keys}}

    def _value(self, parameter: Mapping[str, Any]) -> str:
        """Return a plausible value by the type of a parameter, or else by its name."""
        name, type_ = parameter["ParameterKey"].lower(), parameter["ParameterType"]
        if allowed := parameter.get("ParameterConstraints", {}).get("AllowedValues"):
            return str(allowed[0])
        if "Subnet::Id" in type_:
            number = next((int(digit) - 1 for digit in re.findall(r"\d$", name)), None)
            if name.endswith("b"):
                number = 1
            return ",".join(self._subnets) if "List" in type_ and number is None else self._subnets[number or 0]
        if "AvailabilityZone" in type_:
            return ",".join(zone.name for zone in _ZONES) if "List" in type_ else _ZONES[0].name
        known = {
            "cidr": "10.0.0.0/16",
            "ownerid": "123456789012",
            "certificate": self._certificate,
            "securitygroup": self._group,
            "topic": f"arn:aws:sns:{REGION}:000000000000:alarms",
            "vpc": self._vpc,
            "zone": "Z0123456789ABCDEFGHIJ",
            "domain": "shop.localhost",
            "instanceid": "i-0123456789abcdef0",
            "stack": f"parent-{name[:20]}",
            "flag": "true",
        }
        if name == "ip":
            return "127.0.0.1"
        return next((value for part, value in known.items() if part in name), f"p{name}"[:12])

    def _start(self, name: str, text: str, parameters: Mapping[str, str]) -> Stack:
        """Create a stack. What it imports and no stack exports is exported first."""
        for number in range(_MAX_IMPORTS):
            try:
                return self._create(name, text, parameters)
            except PenstockError as error:
                missing = _MISSING.search(error.message)
                if missing is None:
                    raise
                self._create(f"{name[:40]}-import-{number}", self._exporting(missing[1]), {})
        raise AssertionError(f"{name} imports more than {_MAX_IMPORTS} values")

    def _exporting(self, name: str) -> str:
        resource = {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
        output = {"Value": self._exported(name), "Export": {"Name": name}}
        return json.dumps({"Resources": resource, "Outputs": {"Value": output}})

    def _exported(self, name: str) -> str:
        end = re.split(r"[-:]", name)[-1].lower()
        if "subnet" in end:
            number = re.search(r"\d", end)
            return self._subnets[int(number[0]) - 1] if number else ",".join(self._subnets[:2])
        if "group" in end:
            return self._group
        known = {"vpc": self._vpc, "port": _TARGET_PORT}
        return next((value for part, value in known.items() if part in end), "default")

    def _answers(self, made_by: str) -> Iterator[str]:
        """Yield what each listener of a stack answers at the address of its first node.

        A group without targets gets one that answers, in place of instances that the template leaves to others.
        """
        balancer = open_balancer(self._home.balancer)
        for group in balancer.registry().target_groups.values():
            if group.made_by == made_by and not balancer.registry().targets.get(group.id):
                balancer.register(OWNER, group.name, Target(id="own", address="127.0.0.1", port=self._port))
                balancer.wait_healthy(OWNER, group.name, _TIMEOUT)
        registry = balancer.registry()
        addresses = {
            each.id: str(next(iter((each.settings.zones or {}).values())).address)
            for each in registry.load_balancers.values()
            if each.made_by == made_by
        }
        for listener in registry.listeners.values():
            if listener.made_by == made_by:
                protocol, port = listener.settings.protocol or "HTTP", listener.settings.port
                yield f"{protocol}:{port} {_ask(protocol, addresses[listener.load_balancer], port)}"


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers each request, so that it passes any health check."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@contextmanager
def _target() -> Iterator[http.server.HTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _mentions(file: Path, names: Collection[str]) -> bool:
    """Return whether a parameter of a template has one of these names as its default."""
    try:
        parameters = parsed(file.read_text(), file.name).summary()["Parameters"]
    except TemplateError:
        return False
    return any(each.get("DefaultValue", "") in names for each in cast("list[dict[str, str]]", parameters))


def _ask(protocol: str, address: str, port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        if protocol in ("HTTPS", "TLS"):
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                address, port, timeout=10, context=context
            )
        else:
            connection = http.client.HTTPConnection(address, port, timeout=10)
        connection.request("GET", "/")
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


def main(arguments: Sequence[str]) -> int:
    """Try all templates. Return 1 if one was not created."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", action="append", default=[], help="FILE=STACK, for templates that others import from")
    parser.add_argument("--parameter", action="append", default=[], help="KEY=VALUE, for the templates that have it")
    given = parser.parse_args(arguments)
    files = sorted(file for file in given.folder.iterdir() if file.suffix in (".yaml", ".yml", ".json", ".template"))
    names, values = (dict(each.split("=", 1) for each in pairs) for pairs in (given.name, given.parameter))
    first = [file for file in files if file.stem.rpartition("__")[2] in names]
    second = [file for file in files if file not in first and _mentions(file, set(names.values()))]
    with _target() as server, tempfile.TemporaryDirectory(prefix="templates-") as folder:
        home = Home(Path(folder))
        trial = Trial(home, given.folder, names, values, server.server_address[1])
        try:
            outcomes = {file: trial.run(file, keep=file in first) for file in (*first, *second)}
            trial.delete_all()
            outcomes |= {file: trial.run(file, keep=False) for file in files if file not in outcomes}
        finally:
            trial.delete_all()
            trial.stacks.close()
        left = open_balancer(home.balancer).registry()
    for outcome in outcomes.values():
        print(
            f"{outcome.name[:70]:70} {outcome.status:18} {outcome.seconds:5.1f} s {outcome.resources:3} resources"
            f"  {' '.join(outcome.answers)} {outcome.reason} {outcome.deleted}"
        )
    print(f"left in the registry: {len(left.load_balancers)} load balancers, {len(left.target_groups)} target groups")
    return int(any(outcome.status != StackStatus.CREATE_COMPLETE for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
