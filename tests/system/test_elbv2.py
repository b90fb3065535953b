"""ELBv2's API by botocore's client, with traffic through a real HAProxy."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from pipeline.network.zones import parse_zones
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.backend import Backend
from tests.support.waiting import DEADLINE, until
from tests.system.account import POLL, Account, open_account

# So many rules, and so many of one kind of call in a row.
RULES, BLOCK = 40, 10


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


def test_two_load_balancers_have_the_same_port(tmp_path: Path) -> None:
    """In a zone with a prefix, at an address of its own each."""
    with open_account(tmp_path, parse_zones(["local-a=127.10.0.0/24"])) as account:
        for name in ("one", "two"):
            made = account.elbv2.create_load_balancer(Name=name, Subnets=account.subnets)["LoadBalancers"][0]
            fixed = {"StatusCode": "200", "MessageBody": name, "ContentType": "text/plain"}
            account.elbv2.create_listener(
                LoadBalancerArn=made["LoadBalancerArn"],
                Protocol="HTTP",
                Port=account.port,
                DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": fixed}],
            )
        for shown in account.elbv2.describe_load_balancers()["LoadBalancers"]:
            (address,) = shown["AvailabilityZones"][0]["LoadBalancerAddresses"]
            assert answer(account.port, "/", address["IpAddress"]) == shown["LoadBalancerName"]


def answer(port: int, path: str, host: str = "127.0.0.1") -> str:
    """Return the body of a response."""
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.timing
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
