"""Everything that clients of ELBv2 modify is given back, costs no request, and stays as Terraform leaves it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.backend import Backend
from tests.support.elbv2 import forward
from tests.support.ports import free_port
from tests.system.account import POLL, Account

UNSUPPORTED = re.compile(r"attribute key ('|\")?([^'\" ]+)('|\")? is not (recognized|supported)")
ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
FAILOVER = "target_group_health.dns_failover.minimum_healthy_targets"
UNHEALTHY = "target_health_state.unhealthy"
GROUP = {
    "deregistration_delay.timeout_seconds": "7",
    f"{ROUTING}.count": "2",
    f"{ROUTING}.percentage": "50",
    f"{FAILOVER}.count": "3",
    f"{FAILOVER}.percentage": "60",
}
# Noun and type → every attribute of which another value than the default can be set, with such a value.
MODIFIED: dict[tuple[str, str], dict[str, str]] = {
    ("load_balancer", "application"): {
        "client_keep_alive.seconds": "61",
        "deletion_protection.enabled": "true",
        "idle_timeout.timeout_seconds": "61",
        "routing.http.desync_mitigation_mode": "strictest",
        "routing.http.drop_invalid_header_fields.enabled": "true",
        "routing.http.preserve_host_header.enabled": "true",
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "true",
        "routing.http.xff_client_port.enabled": "true",
        "routing.http.xff_header_processing.mode": "preserve",
        "routing.http2.enabled": "false",
        "zonal_shift.config.enabled": "true",
    },
    ("load_balancer", "network"): {
        "deletion_protection.enabled": "true",
        "dns_record.client_routing_policy": "partial_availability_zone_affinity",
        "load_balancing.cross_zone.enabled": "true",
        "zonal_shift.config.enabled": "true",
    },
    ("target_group", "HTTP"): {
        **GROUP,
        "load_balancing.algorithm.anomaly_mitigation": "on",
        "load_balancing.algorithm.type": "weighted_random",
        "load_balancing.cross_zone.enabled": "true",
        "slow_start.duration_seconds": "0",
        "stickiness.app_cookie.cookie_name": "session",
        "stickiness.app_cookie.duration_seconds": "8",
        "stickiness.enabled": "true",
        "stickiness.lb_cookie.duration_seconds": "9",
        "stickiness.type": "app_cookie",
    },
    ("target_group", "TCP"): {
        **GROUP,
        "deregistration_delay.connection_termination.enabled": "true",
        "load_balancing.cross_zone.enabled": "false",
        "proxy_protocol_v2.enabled": "true",
        "stickiness.enabled": "true",
        f"{UNHEALTHY}.connection_termination.enabled": "false",
        f"{UNHEALTHY}.draining_interval_seconds": "10",
    },
    ("listener", "HTTP"): {
        "routing.http.response.server.enabled": "false",
        **{
            f"routing.http.response.{name}.header_value": value
            for name, value in {
                "access_control_allow_credentials": "true",
                "access_control_allow_headers": "*",
                "access_control_allow_methods": "GET,POST",
                "access_control_allow_origin": "https://shop.example",
                "access_control_expose_headers": "X-Total",
                "access_control_max_age": "60",
                "content_security_policy": "default-src 'self'",
                "strict_transport_security": "max-age=31536000",
                "x_content_type_options": "nosniff",
                "x_frame_options": "DENY",
            }.items()
        },
    },
    ("listener", "TCP"): {"tcp.idle_timeout.seconds": "360"},
}
# What Terraform sets at each creation. A value that is empty has no default in Terraform.
TERRAFORM: dict[str, dict[str, str]] = {
    "application": {
        "access_logs.s3.enabled": "false",
        "client_keep_alive.seconds": "3600",
        "connection_logs.s3.enabled": "false",
        "deletion_protection.enabled": "false",
        "health_check_logs.s3.enabled": "false",
        "idle_timeout.timeout_seconds": "60",
        "routing.http.desync_mitigation_mode": "defensive",
        "routing.http.drop_invalid_header_fields.enabled": "false",
        "routing.http.preserve_host_header.enabled": "false",
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
        "routing.http.xff_client_port.enabled": "false",
        "routing.http.xff_header_processing.mode": "append",
        "routing.http2.enabled": "true",
        "waf.fail_open.enabled": "false",
        "zonal_shift.config.enabled": "false",
        "made.up.of.a.later.version": "false",
    },
    "network": {
        "access_logs.s3.enabled": "false",
        "deletion_protection.enabled": "false",
        "dns_record.client_routing_policy": "any_availability_zone",
        "load_balancing.cross_zone.enabled": "false",
        "secondary_ips.auto_assigned.per_subnet": "0",
        "zonal_shift.config.enabled": "false",
    },
}


def pairs(attributes: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in attributes.items()]


def described(call: Callable[..., Any], **arn: str) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in call(**arn)["Attributes"]}


@pytest.mark.parametrize("kind", ["application", "network"])
def test_all_attributes_are_given_back(account: Account, kind: str) -> None:
    """Each Describe after a Modify has what was set, of load balancers, target groups and listeners with traffic."""
    protocol = {"application": "HTTP", "network": "TCP"}[kind]
    group = account.group("web", protocol, delay=300)
    balancer = account.load_balancer(kind)
    listener = account.listener(balancer, group, protocol)
    arns = {"load_balancer": balancer, "target_group": group, "listener": listener}
    for noun, arn in arns.items():
        name = {f"{noun.title().replace('_', '')}Arn": arn}
        describe = getattr(account.elbv2, f"describe_{noun}_attributes")
        before, wanted = described(describe, **name), MODIFIED[noun, protocol if noun != "load_balancer" else kind]
        assert wanted.keys() <= before.keys() | {"stickiness.app_cookie.cookie_name"}
        shown = getattr(account.elbv2, f"modify_{noun}_attributes")(**name, Attributes=pairs(wanted))
        assert {one["Key"]: one["Value"] for one in shown["Attributes"]} == {**before, **wanted}
        assert described(describe, **name) == {**before, **wanted}
    off = pairs({"deletion_protection.enabled": "false"})
    account.elbv2.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=off)


def test_modifications_lose_no_request(account: Account, backends: list[Backend]) -> None:
    """Of an application and a network load balancer before the same servers, by every kind of modification."""
    elbv2 = account.elbv2
    web, flows = account.group("web"), account.group("flows", "TCP")
    spare = account.group("spare")
    edge = account.load_balancer()
    listener = account.listener(edge, web)
    made = elbv2.create_load_balancer(Name="flows", Subnets=account.subnets[:1], Type="network")
    net = made["LoadBalancers"][0]["LoadBalancerArn"]
    elbv2.get_waiter("load_balancer_available").wait(LoadBalancerArns=[edge, net], WaiterConfig=POLL)
    port = free_port()
    actions = [forward(flows)]
    tcp = elbv2.create_listener(LoadBalancerArn=net, Protocol="TCP", Port=port, DefaultActions=actions)
    for group in (web, flows):
        account.register(group, *backends[:2])
    with (
        Load.start(LoadProfile(f"http://127.0.0.1:{account.port}/", 60, posts=0)) as requests,
        Load.start(LoadProfile(f"http://127.0.0.1:{port}/", 60, posts=0)) as connections,
    ):
        for number in (1, 2):
            account.rule(listener, spare, number)
        account.register(spare, backends[2])
        rules = [one["RuleArn"] for one in elbv2.describe_rules(ListenerArn=listener)["Rules"][:2]]
        swapped = [{"RuleArn": rule, "Priority": number} for rule, number in zip(rules, (2, 1), strict=True)]
        elbv2.set_rule_priorities(RulePriorities=swapped)
        elbv2.modify_rule(RuleArn=rules[0], Actions=[forward(web)])
        split = [{"TargetGroupArn": web, "Weight": 1}, {"TargetGroupArn": spare, "Weight": 1}]
        weighted = [{"Type": "forward", "ForwardConfig": {"TargetGroups": split}}]
        elbv2.modify_listener(ListenerArn=listener, DefaultActions=weighted)
        elbv2.modify_target_group(TargetGroupArn=web, HealthCheckPath="/", HealthyThresholdCount=2)
        elbv2.set_subnets(LoadBalancerArn=net, Subnets=account.subnets)
        elbv2.set_subnets(LoadBalancerArn=edge, Subnets=account.subnets[:1])
        elbv2.set_subnets(LoadBalancerArn=edge, Subnets=account.subnets)
        for rule in rules:
            elbv2.delete_rule(RuleArn=rule)
        elbv2.modify_listener(ListenerArn=listener, DefaultActions=[forward(web)])
        account.deregister(spare, backends[2])
        elbv2.delete_target_group(TargetGroupArn=spare)
        for group in (web, flows):
            account.deregister(group, backends[0])
        backends[0].end()
        reports = requests.stop(), connections.stop()
    assert [report.failures for report in reports] == [(), ()], reports
    pages = elbv2.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 1})
    assert [group["TargetGroupName"] for page in pages for group in page["TargetGroups"]] == ["flows", "web"]
    elbv2.delete_listener(ListenerArn=tcp["Listeners"][0]["ListenerArn"])


@pytest.mark.parametrize("kind", ["application", "network"])
def test_terraform_finds_no_difference(account: Account, kind: str) -> None:
    """It creates, waits, sets its defaults, drops what the server does not know, and reads what it has set."""
    elbv2, tags = account.elbv2, [{"Key": "team", "Value": "shop"}]
    made = elbv2.create_load_balancer(Name="edge", Subnets=account.subnets, Type=kind, Tags=tags)
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    elbv2.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=POLL)
    kept = set_as_terraform(elbv2, arn, TERRAFORM[kind])
    assert TERRAFORM[kind].keys() - kept.keys() <= {"made.up.of.a.later.version"}
    for _ in range(2):
        (shown,) = elbv2.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
        assert [zone["SubnetId"] for zone in shown["AvailabilityZones"]] == account.subnets
        assert shown["State"]["Code"] == "active"
        assert kept.items() <= described(elbv2.describe_load_balancer_attributes, LoadBalancerArn=arn).items()
        assert elbv2.describe_capacity_reservation(LoadBalancerArn=arn)["CapacityReservationState"] == []
        assert elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"] == tags
        # The second time, nothing differs, and the same calls change nothing.
        assert set_as_terraform(elbv2, arn, kept) == kept
    elbv2.delete_load_balancer(LoadBalancerArn=arn)
    wanted = {"attachment.instance-owner-id": "amazon-elb", "description": f"ELB {arn.partition(':loadbalancer/')[2]}"}
    filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
    assert account.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == []


def set_as_terraform(elbv2: Any, arn: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """Set attributes, without those that the server refuses in the words that Terraform knows."""
    wanted = dict(attributes)
    while True:
        try:
            elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=pairs(wanted))
            return wanted
        except ClientError as error:
            found = UNSUPPORTED.search(error.response["Error"]["Message"])
            if found is None:
                raise
            del wanted[found[2]]
