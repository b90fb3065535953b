"""Latency and CPU time of calls of the ELBv2 API, by botocore's client and `pipeline balancer serve --aws`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.extent import Extent
from bench.figure import Figure, percentile
from bench.process import cpu
from bench.results import Results
from pipeline.base.sockets import free_port
from tests.support.aws_daemon import aws_daemon

# The listener has so many rules before the first call that is measured.
RULES, ROUNDS = 40, 40
_MAX_CREATE_RULE, _MAX_REGISTER = 30.0, 15.0
_FIRST = 1001


@dataclass
class Calls:
    """One kind of call: how long each took, and the CPU time of client and daemon, all in milliseconds."""

    name: str
    call: Callable[[int], object]
    times: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    daemon: list[float] = field(default_factory=list)

    def measure(self, number: int, daemon: int) -> None:
        """Make one call."""
        own, other, started = time.process_time(), cpu(daemon), time.perf_counter()
        self.call(number)
        self.times.append(1000 * (time.perf_counter() - started))
        self.client.append(1000 * (time.process_time() - own))
        self.daemon.append(1000 * (cpu(daemon) - other))

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        columns = (
            statistics.median(self.times),
            percentile(self.times, 0.9),
            statistics.median(self.client),
            statistics.median(self.daemon),
        )
        return (self.name, *(f"{each:.1f} ms" for each in columns))


def measure(extent: Extent) -> Results:
    """Measure each kind of call in turn, so that other work on the machine affects all of them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, aws_daemon(Path(folder)) as daemon:
        elbv2, ec2 = daemon.server.client("elbv2"), daemon.server.client("ec2")
        listener, group = _listener(elbv2, ec2)
        for number in range(1, RULES + 1):
            _create_rule(elbv2, listener, group, number)
        kinds = (
            Calls("DescribeAccountLimits, for comparison", lambda _: elbv2.describe_account_limits()),
            Calls("CreateRule", lambda number: _create_rule(elbv2, listener, group, _FIRST + number)),
            Calls("RegisterTargets", lambda number: _register(elbv2, group, number)),
        )
        for number in range(1, extent.choose(ROUNDS, 15) + 1):
            for kind in kinds:
                kind.measure(number, daemon.pid)
    limits = {"CreateRule": _MAX_CREATE_RULE, "RegisterTargets": _MAX_REGISTER}
    return Results.judged(
        "Calls of the ELBv2 API",
        f"A listener with {RULES} rules. Client and daemon share the machine. The CPU time of the daemon is that until "
        "the response.",
        ("call", "median", "90th percentile", "CPU time of the client", "CPU time of the daemon"),
        [kind.row() for kind in kinds],
        [
            Figure(f"{kind.name} (ms)", statistics.median(kind.times), limits[kind.name])
            for kind in kinds
            if kind.name in limits
        ],
    )


def _listener(elbv2: Any, ec2: Any) -> tuple[str, str]:
    """Create a listener that forwards to a group without targets. Return the ARNs of both."""
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    balancer = elbv2.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    made = elbv2.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    group = made["TargetGroups"][0]["TargetGroupArn"]
    actions = [{"Type": "forward", "TargetGroupArn": group}]
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=free_port(), DefaultActions=actions
    )
    return str(listener["Listeners"][0]["ListenerArn"]), str(group)


def _create_rule(elbv2: Any, listener: str, group: str, number: int) -> None:
    elbv2.create_rule(
        ListenerArn=listener,
        Priority=number,
        Conditions=[{"Field": "path-pattern", "Values": [f"/{number}/*"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
    )


def _register(elbv2: Any, group: str, number: int) -> None:
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": f"127.0.1.{number}", "Port": 8080}])
