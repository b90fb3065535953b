"""`scaling` of a service in pipeline.yaml: what it applies to, and mistakes with the exact errors."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.base.errors import ConfigError
from pipeline.config.release import ReleaseSpec
from tests.unit.config.loads import Loads

BALANCER = """\
balancer:
  target_groups: {web: {port: 8080}, tcp: {protocol: TCP, port: 9000}}
  load_balancers:
    edge: {listeners: [{port: 8000, default_action: {forward: web}}]}
    net: {type: network, listeners: [{port: 9000, protocol: TCP, default_action: {forward: tcp}}]}
"""
TARGET = "target: {requests_per_target: 100}"
CPU = "target: {cpu: 50}"
ONE = "deploy: {target_group: web, %s}\n"
HOLDING = "(set it in the service: `scaling: {min: 0, hold_time: …}`)"
WEB = "web: {target_group: web}"


def file(deploy: str) -> str:
    """Return a pipeline.yaml with this section."""
    return f"name: shop\n{deploy}{BALANCER}"


def test_replicas_is_the_first_number(loads: Loads) -> None:
    """By default, it is `min`."""
    deploy = loads(file(ONE % f"scaling: {{min: 3, max: 9, {TARGET}}}")).pipeline.deploy
    assert deploy.all_replicas() == {"web": 3}
    assert deploy.all_scaling()["web"].max == 9
    deploy = loads(file(ONE % f"replicas: 5, scaling: {{min: 3, max: 9, {TARGET}}}")).pipeline.deploy
    assert deploy.all_replicas() == {"web": 5}


def test_each_service_has_its_own_policy(loads: Loads) -> None:
    """Or none, as the others."""
    services = (
        f"{{web: {{target_group: web, scaling: {{min: 2, max: 9, {TARGET}}}}}, tail: {{}}, "
        'worker: {replicas: 2, scaling: {max: 3, target: {cpu: 50}}}, nightly: {schedule: "0 3 * * *"}}'
    )
    deploy = loads(file(f"deploy: {{replicas: 4, services: {services}}}\n")).pipeline.deploy
    assert {name: policy.max for name, policy in deploy.all_scaling().items()} == {"web": 9, "worker": 3}
    assert deploy.all_replicas() == {"web": 4, "worker": 2, "tail": 4}


def test_the_group_of_a_service_that_scales_to_zero_holds_requests(loads: Loads) -> None:
    """For `hold_time`, as a part of the release. Other groups are as they were."""
    specs = [
        ReleaseSpec.of(loads(file(ONE % f"scaling: {keys}")), image_id="1", image_tag="1", sha="a" * 40, subject="")
        for keys in ("{min: 0, max: 9}", "{min: 0, max: 9, hold_time: 5m}", "{min: 1, max: 9, target: {cpu: 50}}")
    ]
    groups = [ReleaseSpec.parse(spec.model_dump_json()).balancer.target_groups["web"] for spec in specs]
    times = [group.hold_time for group in groups if isinstance(group, ApplicationTargetGroup)]
    assert times == [timedelta(minutes=1), timedelta(minutes=5), None]
    assert "hold_time" not in specs[2].model_dump_json()
    tcp = specs[0].balancer.target_groups["tcp"]
    assert tcp is specs[2].balancer.target_groups["tcp"] or tcp == specs[2].balancer.target_groups["tcp"]


def test_a_service_that_scales_to_zero_begins_with_one(loads: Loads) -> None:
    """By default. So the first release is tested."""
    assert loads(file(ONE % "scaling: {min: 0, max: 9}")).pipeline.deploy.all_replicas() == {"web": 1}


@pytest.mark.parametrize(
    ("balancer", "reason"),
    [
        (
            "balancer:\n  target_groups: {web: {port: 8080, protocol: TCP}}\n  load_balancers:\n"
            "    net: {type: network, listeners: [{port: 80, protocol: TCP, default_action: {forward: web}}]}\n",
            "target group web is of a network load balancer, which cannot hold connections",
        ),
        (
            "balancer:\n  target_groups: {web: {port: 8080}}\n  load_balancers:\n"
            "    edge: {zones: {a: 127.0.0.2, b: 127.0.0.3}, "
            "listeners: [{port: 80, default_action: {forward: web}}]}\n",
            "target group web is used by a load balancer with zones, of which requests cannot be held",
        ),
    ],
)
def test_a_balancer_that_cannot_hold(loads: Loads, balancer: str, reason: str) -> None:
    """A group of a network load balancer, and one behind several nodes, are refused with their reason."""
    with pytest.raises(ConfigError) as caught:
        loads(f"name: shop\n{ONE % 'scaling: {min: 0, max: 9}'}{balancer}")
    expected = f"pipeline.yaml:2:44: deploy.scaling.min: must be at least 1, got 0: {reason}"
    assert caught.value.message == expected


@pytest.mark.parametrize(
    ("group", "error"),
    [
        ("web: {port: 8080, hold_time: 60s", f"37: balancer.target_groups.web.hold_time: unknown key {HOLDING}"),
        (
            "web: {port: 8080, protocol: HTTPS, hold_time: 60s",
            f"54: balancer.target_groups.web.hold_time: unknown key {HOLDING}",
        ),
        (
            "web: {port: 8080, hold_tim: 60s",
            "37: balancer.target_groups.web.hold_tim: unknown key (known: attributes, deregistration_delay, "
            "health_check, port, protocol, protocol_version, target_type)",
        ),
        (
            "of: {port: 53, protocol: UDP, hold_time: 60s}, web: {port: 8080",
            "49: balancer.target_groups.of.hold_time: unknown key (known: attributes, deregistration_delay, "
            "health_check, load_balancer, port, protocol, target_type)",
        ),
    ],
)
def test_the_time_is_a_setting_of_the_service_only(loads: Loads, group: str, error: str) -> None:
    """It cannot be written in a target group, and no error proposes it."""
    with pytest.raises(ConfigError) as caught:
        loads(file(ONE % "scaling: {min: 0, max: 9}").replace("web: {port: 8080", group))
    assert caught.value.message == f"pipeline.yaml:4:{error}"


def test_the_policy_is_not_part_of_a_release(loads: Loads) -> None:
    """So another policy replaces no container."""
    specs = [
        ReleaseSpec.of(loads(file(ONE % more)), image_id="1", image_tag="1", sha="a" * 40, subject="")
        for more in ("replicas: 2", f"scaling: {{max: 9, {TARGET}}}")
    ]
    assert specs[0].model_dump_json() == specs[1].model_dump_json()
    assert "scaling" not in specs[1].model_dump_json()


@pytest.mark.parametrize(
    ("deploy", "error"),
    [
        (ONE % "scaling: {min: 0, max: 9, idle_time: 15m, hold_time: 90s}", None),
        (
            ONE % f"scaling: {{max: 9, {TARGET}, idle_time: 5m}}",
            "2:94: deploy.scaling.idle_time: requires min: 0, got min: 1",
        ),
        (
            ONE % f"scaling: {{min: 2, max: 9, {TARGET}, hold_time: 5m}}",
            "2:102: deploy.scaling.hold_time: requires min: 0, got min: 2",
        ),
        (
            ONE % "scaling: {min: 0, max: 9, hold_time: 11m}",
            "2:66: deploy.scaling.hold_time: must be between 1s and 10m",
        ),
        (
            ONE % "replicas: 0, scaling: {min: 0, max: 9}",
            "2:39: deploy.replicas: must be at least 1, got 0",
        ),
        (
            f"deploy: {{services: {{{WEB}, worker: {{scaling: {{min: 0, max: 9}}}}}}}}\n",
            "2:71: deploy.services.worker.scaling.min: must be at least 1, got 0: a service without a "
            "target_group gets no request that could start its first container again",
        ),
        (
            "deploy: {target_group: tcp, scaling: {min: 0, max: 9}}\n",
            "2:44: deploy.scaling.min: must be at least 1, got 0: target group tcp is of a network load balancer, "
            "which cannot hold connections",
        ),
        (
            ONE % f'scaling: {{max: 9, {TARGET}, schedule: [{{cron: "0 8 * * *", min: 0}}]}}, strategy: blue_green',
            "2:119: deploy.scaling.schedule[0].min: must be at least 1, got 0: with blue_green, the previous release "
            "must get requests until the last step; write rolling",
        ),
        (
            ONE % f"replicas: 10, scaling: {{min: 2, max: 9, {TARGET}}}",
            "2:39: deploy.replicas: must be from 2 to 9, the bounds of scaling, got 10; it is the number of the first "
            "deployment",
        ),
        (
            f"deploy: {{services: {{{WEB}, worker: {{scaling: {{max: 9, {TARGET}}}}}}}}}\n",
            "2:104: deploy.services.worker.scaling.target.requests_per_target: requires a target_group, because a "
            "service without one gets no requests; use cpu",
        ),
        (
            f"deploy: {{scaling: {{max: 9, {TARGET}}}, services: {{{WEB}}}}}\n",
            "2:19: deploy.scaling: belongs in one of services, because each has a load of its own",
        ),
        (
            f"deploy: {{services: {{tcp: {{target_group: tcp, scaling: {{max: 9, {TARGET}}}}}}}}}\n",
            "2:94: deploy.services.tcp.scaling.target.requests_per_target: requires an application load balancer; "
            "target group tcp is of a network load balancer, which has no requests; use connections or cpu",
        ),
        (
            ONE % f"rolling: {{max_surge: 0, max_unavailable: 25%}}, scaling: {{min: 4, max: 9, {TARGET}}}",
            None,
        ),
        (
            ONE
            % f"rolling: {{max_surge: 0, max_unavailable: 25%}}, scaling: {{min: 2, max: 9, {TARGET}}}, replicas: 4",
            "2:38: deploy.rolling: must allow progress: max_surge 0 and max_unavailable 25% of 2, a number that "
            "scaling may choose, are both 0; set max_surge to 1",
        ),
        (
            f'deploy: {{services: {{{WEB}, nightly: {{schedule: "0 3 * * *", scaling: {{max: 9, {TARGET}}}}}}}}}\n',
            "2:89: deploy.services.nightly.scaling: does not fit a job (a service with schedule): it runs once for "
            "each time of its schedule",
        ),
        (
            ONE % f"scaling: {{max: 9, {TARGET}, timezone: Europe/Berlin}}",
            "2:93: deploy.scaling.timezone: requires schedule",
        ),
        (
            ONE % 'scaling: {max: 9, schedule: [{cron: "0 8 * * *", min: 2}], timezone: Europe/Berln}',
            "2:98: deploy.scaling.timezone: 'Europe/Berln' is not a time zone of this machine; did you mean "
            "Europe/Berlin?",
        ),
        (ONE % "scaling: {min: 2}", "2:29: deploy.scaling.max: is missing (The largest number of replicas)"),
    ],
)
def test_mistakes(loads: Loads, deploy: str, error: str | None) -> None:
    """Each has its place and what to write instead."""
    if error is None:
        loads(file(deploy))
        return
    with pytest.raises(ConfigError) as caught:
        loads(file(deploy))
    assert caught.value.message.replace("pipeline.yaml:", "") == error
