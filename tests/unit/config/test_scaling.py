"""`scaling` of a service in pipeline.yaml: what it applies to, and mistakes with the exact errors."""

from __future__ import annotations

import pytest

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
WEB = "web: {target_group: web}"
NO_ZERO = (
    "must be at least 1, got 0: without containers, requests fail, because none is held until the first one has "
    "started; only `pipeline scaling simulate` knows 0"
)


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
        (ONE % f"scaling: {{min: 0, max: 9, {TARGET}}}", f"2:44: deploy.scaling.min: {NO_ZERO}"),
        (
            ONE % f'scaling: {{max: 9, {TARGET}, schedule: [{{cron: "0 8 * * *", min: 0}}]}}',
            f"2:119: deploy.scaling.schedule[0].min: {NO_ZERO}",
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
