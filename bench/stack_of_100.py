"""Time to create and delete a stack of a hundred resources: load balancers with rules, and the networks around them."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.results import Results
from pipeline.base.home import Home
from pipeline.base.sockets import free_port
from pipeline.network.zones import Zone
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.stacks import Stacks
from pipeline.stacks.status import StackStatus

OWNER, NAME, TIMEOUT = "bench", "hundred", timedelta(minutes=5)
SUBNETS, SECURITY_GROUPS, CERTIFICATES, LISTENERS, TARGET_GROUPS, RULES = 6, 8, 5, 8, 20, 51
# No other program has these addresses.
_ZONES = tuple(Zone(f"local-{letter}", f"127.16.0.{number}") for number, letter in enumerate("abc", 1))
_MAX_SECONDS = 5.0


class Times(NamedTuple):
    """Seconds, and seconds of the processor in this process alone."""

    create: float
    create_cpu: float
    delete: float
    delete_cpu: float


def measure(extent: Extent) -> Results:
    """Create and delete the stack several times, each in a home of its own."""
    rounds = extent.choose(5, 2)
    found = [_round() for _ in range(rounds)]
    medians = Times(*(statistics.median(column) for column in zip(*found, strict=True)))
    return Results.judged(
        "A stack of 100 resources",
        f"One stack with {len(template())} resources: a VPC, {SUBNETS} subnets, {SECURITY_GROUPS} security groups, "
        f"{CERTIFICATES} certificates, a load balancer, {TARGET_GROUPS} target groups, {LISTENERS} listeners, of which "
        f"half use HTTPS, and {RULES} rules. It is created and deleted {rounds} times. Medians.",
        ("", "time", "CPU time of Penstock"),
        (
            ("create", f"{medians.create:.2f} s", f"{medians.create_cpu:.2f} s"),
            ("delete", f"{medians.delete:.2f} s", f"{medians.delete_cpu:.2f} s"),
        ),
        [
            Figure("100 resources created, s", medians.create, _MAX_SECONDS),
            Figure("100 resources deleted, s", medians.delete, _MAX_SECONDS),
        ],
    )


def template() -> dict[str, Any]:
    """Return the resources of the stack."""
    resources: dict[str, Any] = {"Network": _resource("EC2::VPC", CidrBlock="10.0.0.0/16")}
    for number in range(SUBNETS):
        zone = {"Fn::Select": [number % len(_ZONES), {"Fn::GetAZs": ""}]}
        block = f"10.0.{number}.0/24"
        resources[f"Subnet{number}"] = _resource("EC2::Subnet", **_in_vpc(), CidrBlock=block, AvailabilityZone=zone)
    for number in range(SECURITY_GROUPS):
        rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "0.0.0.0/0"}
        resources[f"Group{number}"] = _resource(
            "EC2::SecurityGroup", **_in_vpc(), GroupDescription="web", SecurityGroupIngress=[rule]
        )
    for number in range(CERTIFICATES):
        resources[f"Certificate{number}"] = _resource(
            "CertificateManager::Certificate", DomainName=f"shop{number}.localhost"
        )
    subnets = [{"Ref": f"Subnet{number}"} for number in range(len(_ZONES))]
    resources["Edge"] = _resource(
        "ElasticLoadBalancingV2::LoadBalancer", Subnets=subnets, SecurityGroups=[{"Ref": "Group0"}]
    )
    for number in range(TARGET_GROUPS):
        resources[f"Web{number}"] = _resource(
            "ElasticLoadBalancingV2::TargetGroup", **_in_vpc(), Protocol="HTTP", Port=8080, TargetType="ip"
        )
    for number in range(LISTENERS):
        resources[f"Listener{number}"] = _listener(number)
    for number in range(RULES):
        resources[f"Rule{number}"] = _resource(
            "ElasticLoadBalancingV2::ListenerRule",
            ListenerArn={"Ref": f"Listener{number % LISTENERS}"},
            Priority=number + 1,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{number}/*"]}],
            Actions=[_forward(number)],
        )
    return resources


def _listener(number: int) -> dict[str, Any]:
    secure = {
        "Protocol": "HTTPS",
        "Certificates": [{"CertificateArn": {"Ref": f"Certificate{number % CERTIFICATES}"}}],
    }
    return _resource(
        "ElasticLoadBalancingV2::Listener",
        LoadBalancerArn={"Ref": "Edge"},
        Port=free_port(),
        DefaultActions=[_forward(number)],
        **({"Protocol": "HTTP"} if number % 2 else secure),
    )


def _forward(number: int) -> dict[str, Any]:
    return {"Type": "forward", "TargetGroupArn": {"Ref": f"Web{number % TARGET_GROUPS}"}}


def _in_vpc() -> dict[str, Any]:
    return {"VpcId": {"Ref": "Network"}}


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def _round() -> Times:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stacks = open_stacks(Home(Path(folder)), _ZONES)
        text = json.dumps({"Resources": template()})
        try:
            create = _timed(stacks, lambda: stacks.create(OWNER, "eu-west-1", NAME, StackRequest(text)).id)
            delete = _timed(stacks, lambda: _delete(stacks))
        finally:
            stacks.close()
    return Times(*create, *delete)


def _delete(stacks: Stacks) -> str:
    stack = stacks.find(OWNER, NAME)
    stacks.delete(OWNER, NAME)
    return stack.id


def _timed(stacks: Stacks, begin: Callable[[], str]) -> tuple[float, float]:
    """Return the time of an operation, and the CPU time. Raises `AssertionError` if it fails."""
    since, used = time.monotonic(), time.process_time()
    stack = stacks.wait(begin(), TIMEOUT)
    assert stack.status in {StackStatus.CREATE_COMPLETE, StackStatus.DELETE_COMPLETE}, stack.reason
    return time.monotonic() - since, time.process_time() - used
