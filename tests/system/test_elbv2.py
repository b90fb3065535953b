"""ELBv2's API by botocore's client, with traffic through a real HAProxy."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from pipeline.balancer.elbv2.drains import finish_drains
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.http.aws import aws_services
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.stacks.offered import open_stacks
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.aws import aws_server
from tests.support.backend import Backend
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until

POLL = {"Delay": 1, "MaxAttempts": 60}
# So many rules, and so many of one kind of call in a row.
RULES, BLOCK = 40, 10


class Account:
    """One owner's clients, and what most tests make first."""

    def __init__(self, elbv2: Any, ec2: Any, balancer: Any) -> None:
        self.elbv2 = elbv2
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


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    home = Home(tmp_path / "home")
    balancer = open_balancer(home.balancer)
    with aws_server(home.aws, aws_services(home, DEFAULT_ZONES, lambda: open_stacks(home))) as server:
        try:
            yield Account(server.client("elbv2"), server.client("ec2"), balancer)
        finally:
            balancer.withdraw(server.key.owner)


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    servers = [Backend(name) for name in ("one", "two", "three")]
    yield servers
    for server in servers:
        server.end()


@pytest.mark.parametrize(("kind", "protocol"), [("application", "HTTP"), ("network", "TCP")])
def test_a_drain_loses_no_request(account: Account, backends: list[Backend], kind: str, protocol: str) -> None:
    """Created, changed, drained and deleted by a client of AWS under load. Targets are killed once they are drained."""
    one, two, three = backends
    group = account.group("web", protocol)
    balancer = account.load_balancer(kind)
    listener = account.listener(balancer, group, protocol)
    account.register(group, one)
    with Load.start(LoadProfile(f"http://127.0.0.2:{account.port}/", 100, posts=0)) as load:
        account.register(group, two)
        if kind == "application":
            account.rule(listener, group, 1)
        account.deregister(group, one)
        one.end()
        account.register(group, three)
        account.deregister(group, two)
        two.end()
        seen = three.requests
        until(lambda: three.requests > seen + 50, "the last target gets the requests")
        report = load.stop()
    assert report.failures == (), report
    account.elbv2.delete_load_balancer(LoadBalancerArn=balancer)
    account.elbv2.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[balancer], WaiterConfig=POLL)
    account.elbv2.delete_target_group(TargetGroupArn=group)
    assert account.balancer.registry().is_empty
    assert account.balancer.pid() is None


def test_a_rule_carries_traffic_soon(account: Account, backends: list[Backend]) -> None:
    """A rule that its client has created applies within a second, without a further call."""
    one, two, _ = backends
    web, api = account.group("web"), account.group("api")
    listener = account.listener(account.load_balancer(), web)
    account.register(web, one)
    account.rule(listener, api, 1)
    account.register(api, two)
    until(lambda: answer(account.port, "/rule-1/x") == "two", "the rule applies")
    assert answer(account.port, "/") == "one"


def answer(port: int, path: str) -> str:
    """Return the body of a response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_new_rules_and_targets_do_not_wait_for_reloads(account: Account) -> None:
    """Unlike a changed rule. The medians of the same run are compared, because other programs take their share."""
    group = account.group("web")
    listener = account.listener(account.load_balancer(), group)
    create: list[float] = []
    modify: list[float] = []
    register: list[float] = []
    for start in range(1, RULES, BLOCK):
        numbers = range(start, start + BLOCK)
        create += [timed(account.rule, listener, group, number) for number in numbers]
        rules = account.elbv2.describe_rules(ListenerArn=listener)["Rules"]
        modify += [timed(account.change, rules[number - 1]["RuleArn"], number) for number in numbers]
        register += [timed(account.add, group, f"127.0.1.{number}") for number in numbers]
    assert median(create) < median(modify) / 2, (sorted(create), sorted(modify))
    assert median(register) < median(modify) / 2, (sorted(register), sorted(modify))


def timed(call: Callable[..., object], *args: object) -> float:
    """Return how long a call takes, in milliseconds."""
    started = time.perf_counter()
    call(*args)
    return 1000 * (time.perf_counter() - started)
