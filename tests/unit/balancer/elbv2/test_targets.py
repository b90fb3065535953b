"""Targets and their health by ELBv2's API."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.elbv2.drains import finish_drains
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.targets import Registration
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.elbv2 import Elbv2

PASSED, MISMATCH = CheckFact("passed", passes=1, code="200"), CheckFact("mismatch", code="503", text="503")
GROUP = "shop.web"


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def elbv2(tmp_path: Path, plane: FakePlane) -> Elbv2:
    return Elbv2(Balancer(tmp_path, plane))


def used(elbv2: Elbv2, **given: Any) -> str:
    """Return the ARN of a target group that a listener forwards to."""
    group = elbv2.target_group(**given)
    kind = "application" if given.get("Protocol", "HTTP") == "HTTP" else "network"
    elbv2.listener(elbv2.load_balancer(Type=kind), group, Protocol=given.get("Protocol", "HTTP"))
    return group


def register(elbv2: Elbv2, group: str, *targets: dict[str, Any]) -> None:
    elbv2("RegisterTargets", TargetGroupArn=group, Targets=list(targets))


def deregister(elbv2: Elbv2, group: str, *targets: dict[str, Any]) -> None:
    elbv2("DeregisterTargets", TargetGroupArn=group, Targets=list(targets))


def health(elbv2: Elbv2, group: str, **given: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = elbv2("DescribeTargetHealth", TargetGroupArn=group, **given)[
        "TargetHealthDescriptions"
    ]
    return found


def set_delay(elbv2: Elbv2, group: str, seconds: int) -> None:
    attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": str(seconds)}
    elbv2("ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=[attribute])


def ids_of(plane: FakePlane) -> set[str]:
    return set(plane.observe([GROUP]).targets[GROUP])


def pass_checks(elbv2: Elbv2, plane: FakePlane, *names: str) -> None:
    for name in names:
        plane.answer_checks(name, PASSED)
    plane.run_checks()
    elbv2.balancer.reconcile()
    plane.run_checks()


def test_a_target_goes_through_the_states_of_elb(elbv2: Elbv2, plane: FakePlane) -> None:
    """Initial, healthy, unhealthy, draining for the whole delay, and unused when it is gone."""
    group, target = used(elbv2), {"Id": "10.0.0.1", "Port": 80}
    register(elbv2, group, {"Id": "10.0.0.1"})
    (found,) = health(elbv2, group)
    assert (found["Target"], found["HealthCheckPort"]) == (target, "80")
    assert (found["TargetHealth"]["State"], found["TargetHealth"]["Reason"]) == ("initial", "Elb.InitialHealthChecking")
    pass_checks(elbv2, plane, "10.0.0.1-80")
    assert health(elbv2, group)[0]["TargetHealth"] == {"State": "healthy"}
    plane.answer_checks("10.0.0.1-80", MISMATCH)
    plane.run_checks()
    failed = health(elbv2, group)[0]["TargetHealth"]
    assert (failed["State"], failed["Reason"]) == ("unhealthy", "Target.ResponseCodeMismatch")
    deregister(elbv2, group, {"Id": "10.0.0.1"})
    finish_drains(elbv2.balancer)
    draining = health(elbv2, group)[0]["TargetHealth"]
    assert (draining["State"], draining["Reason"]) == ("draining", "Target.DeregistrationInProgress")
    set_delay(elbv2, group, 0)
    assert health(elbv2, group) == []
    (gone,) = health(elbv2, group, Targets=[target])
    assert gone["TargetHealth"] == {
        "State": "unused",
        "Reason": "Target.NotRegistered",
        "Description": "Target is not registered to the target group",
    }


def test_a_group_without_a_listener_is_unused(elbv2: Elbv2, plane: FakePlane) -> None:
    """So its targets have nothing to finish when they are deregistered."""
    group = elbv2.target_group()
    register(elbv2, group, {"Id": "10.0.0.1"}, {"Id": "10.0.0.2"})
    assert {one["TargetHealth"]["Reason"] for one in health(elbv2, group)} == {"Target.NotInUse"}
    deregister(elbv2, group, {"Id": "10.0.0.1"})
    assert elbv2.states(group) == {"10.0.0.2": "unused"}


def test_one_address_may_be_registered_with_several_ports(elbv2: Elbv2) -> None:
    """Each is a target of its own. Without a port, all of an id are meant."""
    group = used(elbv2)
    register(elbv2, group, {"Id": "10.0.0.1"}, {"Id": "10.0.0.1", "Port": 8081}, {"Id": "fd00::1", "Port": 80})
    targets = [one["Target"] for one in health(elbv2, group)]
    assert targets == [{"Id": "10.0.0.1", "Port": 80}, {"Id": "10.0.0.1", "Port": 8081}, {"Id": "fd00::1", "Port": 80}]
    deregister(elbv2, group, {"Id": "10.0.0.1", "Port": 8081})
    states = [one["TargetHealth"]["State"] for one in health(elbv2, group, Targets=[{"Id": "10.0.0.1"}])]
    assert states == ["initial", "draining"]


def test_an_instance_is_reached_where_the_network_says(elbv2: Elbv2) -> None:
    """Its id is given back. One that does not run is refused, with those of the same call."""
    elbv2.network.instances = {"web-1": "172.17.0.2", "i-0a": "172.17.0.3"}
    group = used(elbv2, TargetType="instance")
    register(elbv2, group, {"Id": "web-1"}, {"Id": "i-0a", "Port": 8080})
    assert [one["Target"] for one in health(elbv2, group)] == [
        {"Id": "web-1", "Port": 80},
        {"Id": "i-0a", "Port": 8080},
    ]
    (known,) = elbv2.balancer.registry().targets.values()
    assert [one.target.address for one in known] == ["172.17.0.2", "172.17.0.3"]
    with pytest.raises(AwsError, match=r"^InvalidTarget: The following targets are not in a running state .*'none'"):
        register(elbv2, group, {"Id": "web-1", "Port": 81}, {"Id": "none"})
    assert len(health(elbv2, group)) == 2


def test_an_instance_that_stops_is_unused(elbv2: Elbv2, plane: FakePlane) -> None:
    """As ELB reports it, and not as unhealthy."""
    elbv2.network.instances = {"web-1": "172.17.0.2"}
    group = used(elbv2, TargetType="instance")
    register(elbv2, group, {"Id": "web-1"})
    pass_checks(elbv2, plane, "web-1-80")
    plane.answer_checks("web-1-80", CheckFact("timeout"))
    plane.run_checks()
    assert elbv2.states(group) == {"web-1": "unhealthy"}
    elbv2.network.instances = {}
    assert health(elbv2, group)[0]["TargetHealth"] == {
        "State": "unused",
        "Reason": "Target.InvalidState",
        "Description": "Target is in the stopped state",
    }


def test_an_application_load_balancer_is_a_target(elbv2: Elbv2) -> None:
    """By its ARN, with the port of its listener. It cannot be deleted meanwhile."""
    web = used(elbv2)
    (balancer,) = (one["LoadBalancerArn"] for one in elbv2("DescribeLoadBalancers")["LoadBalancers"])
    front = elbv2.target_group("front", Protocol="TCP", TargetType="alb", Port=18080)
    assert health(elbv2, front) == []
    register(elbv2, front, {"Id": balancer})
    assert health(elbv2, front)[0]["Target"] == {"Id": balancer, "Port": 18080}
    with pytest.raises(AwsError, match=r"^ResourceInUse: .* is currently the target of a target group"):
        elbv2("DeleteLoadBalancer", LoadBalancerArn=balancer)
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest: .*has no listener on port 81"):
        register(elbv2, elbv2.target_group("other", Protocol="TCP", TargetType="alb", Port=81), {"Id": balancer})
    with pytest.raises(AwsError, match=r"^InvalidTarget"):
        register(elbv2, front, {"Id": balancer, "Port": 81})
    deregister(elbv2, front, {"Id": balancer})
    assert health(elbv2, front) == []
    elbv2("DeleteLoadBalancer", LoadBalancerArn=balancer)
    assert health(elbv2, web) == []


def test_a_function_is_registered_by_its_arn(elbv2: Elbv2) -> None:
    """Its checks are off, so its health is unavailable."""
    elbv2.network.instances = {"hello": "172.17.0.2"}
    arn = "arn:aws:lambda:us-east-1:000000000000:function:hello"
    group = elbv2("CreateTargetGroup", Name="web", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    elbv2.listener(elbv2.load_balancer(), group)
    register(elbv2, group, {"Id": arn})
    (found,) = health(elbv2, group)
    assert (found["Target"], found["TargetHealth"]["State"]) == ({"Id": arn}, "unavailable")
    for wrong in ({"Id": "arn:aws:lambda:us-east-1:000000000000:function:none"}, {"Id": "hello"}):
        with pytest.raises(AwsError, match=r"^InvalidTarget"):
            register(elbv2, group, wrong)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ({"Id": "not-an-address"}, "InvalidTarget: address: must be an IP address"),
        ({"Id": "10.0.0.1", "AvailabilityZone": "us-east-1z"}, "ValidationError: The Availability Zone 'us-east-1z'"),
        ({"Id": "10.0.0.1", "QuicServerId": "0x1"}, "InvalidTarget: QuicServerId is not supported"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(elbv2: Elbv2, target: dict[str, Any], error: str) -> None:
    """With AWS's code, and none of the call is registered."""
    group = used(elbv2)
    with pytest.raises(AwsError, match=rf"^{error}"):
        register(elbv2, group, {"Id": "10.0.0.2"}, target)
    assert health(elbv2, group) == []


def test_a_target_is_in_its_zone(elbv2: Elbv2) -> None:
    """The name of AWS's zone stands for a declared one. `all` is every zone."""
    group = used(elbv2)
    register(
        elbv2,
        group,
        {"Id": "10.0.0.1", "AvailabilityZone": "us-east-1b"},
        {"Id": "10.0.0.2", "AvailabilityZone": "all"},
    )
    assert [one["Target"].get("AvailabilityZone") for one in health(elbv2, group)] == ["local-b", None]


def test_a_network_target_fails_for_one_reason(elbv2: Elbv2, plane: FakePlane) -> None:
    """ELB reports no codes and timeouts of it."""
    group = used(elbv2, Protocol="TCP")
    register(elbv2, group, {"Id": "10.0.0.1"})
    pass_checks(elbv2, plane, "10.0.0.1-80")
    plane.answer_checks("10.0.0.1-80", CheckFact("timeout"))
    plane.run_checks()
    (found,) = health(elbv2, group, Include=["All"])
    assert found["TargetHealth"]["Reason"] == "Target.FailedHealthChecks"


@pytest.mark.parametrize(
    ("protocol", "termination", "aborted"),
    [("HTTP", None, True), ("TCP", None, False), ("TCP", "true", True), ("TCP", "false", False)],
)
def test_the_end_of_the_delay(
    elbv2: Elbv2, plane: FakePlane, protocol: str, termination: str | None, aborted: bool
) -> None:
    """Requests are aborted, and connections only if the group says so. The target is removed in any case."""
    group = used(elbv2, Protocol=protocol)
    if termination:
        key = "deregistration_delay.connection_termination.enabled"
        elbv2("ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=[{"Key": key, "Value": termination}])
    register(elbv2, group, {"Id": "10.0.0.1"})
    pass_checks(elbv2, plane, "10.0.0.1-80")
    assert plane.send(GROUP) == "10.0.0.1-80"
    deregister(elbv2, group, {"Id": "10.0.0.1"})
    finish_drains(elbv2.balancer)
    assert plane.calls["abort"] == 0
    set_delay(elbv2, group, 0)
    finish_drains(elbv2.balancer)
    assert plane.calls["abort"] == aborted
    (known,) = elbv2.balancer.registry().targets.values()
    assert known == ()
    assert ids_of(plane) == (set() if aborted else {"10.0.0.1-80"})


def test_a_target_that_is_registered_again_stays(elbv2: Elbv2, plane: FakePlane) -> None:
    """Also if that happens while its drain is ended."""
    group = used(elbv2)
    register(elbv2, group, {"Id": "10.0.0.1"})
    deregister(elbv2, group, {"Id": "10.0.0.1"})

    def late(one: Registration) -> bool:
        return one.wanted == "out"

    register(elbv2, group, {"Id": "10.0.0.1"})
    elbv2.balancer.end_drains("shop", "web", late, abort=True)
    assert elbv2.states(group) == {"10.0.0.1": "initial"}
    elbv2.balancer.end_drains("shop", "none", late, abort=True)
    assert plane.calls["abort"] == 0


def test_a_restart_continues_the_drains(elbv2: Elbv2, plane: FakePlane, tmp_path: Path) -> None:
    """The registry has all that is needed. Targets of pipeline.yaml are left to their deployment."""
    listener = {"port": 18090, "default_action": {"forward": "own"}}
    declared = {"own": {"port": 80, "deregistration_delay": "0s"}}
    declaration = {"target_groups": declared, "load_balancers": {"main": {"listeners": [listener]}}}
    elbv2.balancer.apply("shop", Declaration.model_validate(declaration))
    elbv2.balancer.register("shop", "own", Target(id="a", address="10.0.0.9", port=80))
    elbv2.balancer.deregister("shop", "own", "a")
    group = used(elbv2)
    register(elbv2, group, {"Id": "10.0.0.1"})
    deregister(elbv2, group, {"Id": "10.0.0.1"})
    set_delay(elbv2, group, 0)
    finish_drains(Balancer(tmp_path, plane))
    found = elbv2.balancer.registry()
    assert found.registrations("shop", "web") == ()
    assert [one.target.id for one in found.registrations("shop", "own")] == ["a"]


def test_deregistration_is_confirmed_by_the_plane(elbv2: Elbv2, plane: FakePlane) -> None:
    """If the plane fails, the client learns it and the target stays draining."""
    group = used(elbv2)
    register(elbv2, group, {"Id": "10.0.0.1"}, {"Id": "10.0.0.2"})
    pass_checks(elbv2, plane, "10.0.0.1-80", "10.0.0.2-80")
    plane.fail("steer", times=4)
    with pytest.raises(BalancerFault):
        deregister(elbv2, group, {"Id": "10.0.0.1"}, {"Id": "10.0.0.2"})
    plane.heal()
    assert elbv2.states(group) == {"10.0.0.1": "draining", "10.0.0.2": "draining"}
    deregister(elbv2, group, {"Id": "none"})


def test_targets_of_pipeline_yaml_are_seen_and_not_changed(elbv2: Elbv2) -> None:
    """Their registration belongs to the deployment."""
    listener = {"port": 18090, "default_action": {"forward": "own"}}
    declaration = {"target_groups": {"own": {"port": 80}}, "load_balancers": {"main": {"listeners": [listener]}}}
    elbv2.balancer.apply("shop", Declaration.model_validate(declaration))
    elbv2.balancer.register("shop", "own", Target(id="own-1", address="10.0.0.9", port=80))
    group = elbv2("DescribeTargetGroups", Names=["own"])["TargetGroups"][0]["TargetGroupArn"]
    assert elbv2.states(group) == {"10.0.0.9": "initial"}
    with pytest.raises(AwsError, match=r"^OperationNotPermitted"):
        register(elbv2, group, {"Id": "10.0.0.1"})


def test_registrations_at_once_lose_nothing(elbv2: Elbv2) -> None:
    """Each call adds to what the others have registered."""
    group = used(elbv2)
    ids = [f"10.0.0.{number}" for number in range(1, 9)]
    threads = [threading.Thread(target=register, args=(elbv2, group, {"Id": id_})) for id_ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(elbv2.states(group)) == set(ids)


def test_the_delay_counts_from_the_deregistration(elbv2: Elbv2) -> None:
    """Not from an earlier moment of the target."""
    group = used(elbv2)
    register(elbv2, group, {"Id": "10.0.0.1"})
    before = SYSTEM.now()
    deregister(elbv2, group, {"Id": "10.0.0.1"})
    (known,) = elbv2.balancer.registry().targets.values()
    assert known[0].since.since(before) >= timedelta(0)
