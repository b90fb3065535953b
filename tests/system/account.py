"""One owner's clients of the AWS APIs, for tests with traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.drains import finish_drains
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.ecs.ecs import Ecs
from pipeline.http.aws import aws_services
from pipeline.network.zones import DEFAULT_ZONES, Zone
from pipeline.stacks.offered import open_stacks
from tests.support.aws import aws_server
from tests.support.aws_daemon import delete_all
from tests.support.backend import Backend
from tests.support.ports import free_port

POLL = {"Delay": 1, "MaxAttempts": 60}


class Account:
    """One owner's clients, and what most tests make first."""

    def __init__(self, elbv2: Any, ec2: Any, balancer: Balancer) -> None:
        self.elbv2 = elbv2
        self.ec2 = ec2
        self.balancer = balancer
        self.subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.port = free_port()

    def load_balancer(self, kind: str = "application") -> str:
        """Create a load balancer in both zones."""
        made = self.elbv2.create_load_balancer(Name="edge", Subnets=self.subnets, Type=kind)
        return str(made["LoadBalancers"][0]["LoadBalancerArn"])

    def group(self, name: str, protocol: str = "HTTP", delay: int = 1) -> str:
        """Create a target group with checks by HTTP and a short deregistration delay."""
        made = self.elbv2.create_target_group(
            Name=name,
            Protocol=protocol,
            Port=80,
            VpcId=self.vpc,
            TargetType="ip",
            HealthCheckProtocol="HTTP",
            HealthCheckPath="/healthz",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )
        arn = str(made["TargetGroups"][0]["TargetGroupArn"])
        attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}
        self.elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[attribute])
        return arn

    def listener(self, balancer: str, group: str, protocol: str = "HTTP") -> str:
        """Create a listener that forwards to a group."""
        made = self.elbv2.create_listener(
            LoadBalancerArn=balancer,
            Protocol=protocol,
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def rule(self, listener: str, group: str, priority: int) -> None:
        """Create a rule for a path."""
        self.elbv2.create_rule(
            ListenerArn=listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [f"/rule-{priority}/*"]}],
            Actions=[{"Type": "forward", "TargetGroupArn": group}],
        )

    def change(self, rule: str, number: int) -> None:
        """Let a rule answer by itself, which is a section of HAProxy's configuration."""
        fixed = {"StatusCode": "404", "MessageBody": str(number), "ContentType": "text/plain"}
        action = {"Type": "fixed-response", "FixedResponseConfig": fixed}
        self.elbv2.modify_rule(RuleArn=rule, Actions=[action])

    def add(self, group: str, address: str) -> None:
        """Register an address."""
        self.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": address, "Port": 8080}])

    def register(self, group: str, *backends: Backend) -> None:
        """Register servers, and wait until all targets are healthy."""
        self.elbv2.register_targets(TargetGroupArn=group, Targets=[*map(target, backends)])
        self.elbv2.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig=POLL)

    def deregister(self, group: str, backend: Backend) -> None:
        """Deregister a server, and wait until it is drained. The daemon's loop is played by the test."""
        self.elbv2.deregister_targets(TargetGroupArn=group, Targets=[target(backend)])
        waiter = self.elbv2.get_waiter("target_deregistered")
        waiter.wait(TargetGroupArn=group, Targets=[target(backend)], WaiterConfig=POLL)
        finish_drains(self.balancer)


def target(backend: Backend) -> dict[str, Any]:
    return {"Id": str(backend.server_address[0]), "Port": backend.server_address[1]}


@contextmanager
def open_account(folder: Path, zones: Sequence[Zone] = DEFAULT_ZONES) -> Iterator[Account]:
    """Serve the APIs of a home below a folder, without a daemon."""
    home = Home(folder / "home")
    balancer = open_balancer(home.balancer)
    services = aws_services(home, zones, lambda: open_stacks(home, zones), lambda: Ecs(home))
    with aws_server(home.aws, services) as server:
        try:
            yield Account(server.client("elbv2"), server.client("ec2"), balancer)
        finally:
            delete_all(balancer, server.key.owner)
