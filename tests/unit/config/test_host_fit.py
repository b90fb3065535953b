"""What needs this machine, and would be on another one by `deploy.hosts`."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.models import Pipeline
from pipeline.config.policy import Policy
from tests.unit.config.loads import Loads

HOSTS = "hosts: [{name: app1, docker: ssh://app1}]"
HERE = "hosts: [{name: here, docker: local}]"
FILE = """\
name: shop
deploy: {{target_group: web, {deploy}}}
{more}
balancer:
  target_groups: {{web: {{port: 8080, {group}}}}}
  load_balancers: {{edge: {{{balancer}listeners: [{{port: 8000, {protocol}default_action: {{forward: web}}}}]}}}}
"""
NETWORK = {"balancer": "type: network, ", "protocol": "protocol: TCP, "}
UDP = {"balancer": "type: network, address: 0.0.0.0, ", "protocol": "protocol: UDP, "}


def text(deploy: str, more: str = "", group: str = "", **listener: str) -> str:
    return FILE.format(deploy=deploy, more=more, group=group, **{"balancer": "", "protocol": "", **listener})


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (
            text(f"function: app.handle, {HOSTS}", group="target_type: lambda"),
            "pipeline.yaml:2:39: deploy.function: runs on this machine only, which has the program that calls it; "
            "write a program that listens on a port; or leave out deploy.hosts",
        ),
        (
            text(HOSTS, group="protocol: TCP", **NETWORK),
            "pipeline.yaml:5:24: balancer.target_groups.web: must have target_type: instance with deploy.hosts, "
            "because a container is reached at a port of its host; or leave out deploy.hosts",
        ),
        (
            text(HOSTS, group="protocol: UDP", **UDP),
            "pipeline.yaml:5:24: balancer.target_groups.web: protocol UDP reaches containers of this machine only; or "
            "leave out deploy.hosts",
        ),
        (
            text(HOSTS, 'accessories: {db: {image: "postgres:16"}}'),
            "pipeline.yaml:3:19: accessories.db: must publish a port on an address that the hosts reach, such as "
            'ports: ["10.0.0.10:5432:5432"]: it runs on this machine, and containers of deploy.hosts do not find it '
            "by its name; or leave out deploy.hosts",
        ),
        (
            text(HOSTS, 'accessories: {db: {image: "postgres:16", ports: ["5432:5432"]}}'),
            "pipeline.yaml:3:19: accessories.db: must publish a port on an address that the hosts reach, such as "
            'ports: ["10.0.0.10:5432:5432"]: it runs on this machine, and containers of deploy.hosts do not find it '
            "by its name; or leave out deploy.hosts",
        ),
    ],
)
def test_what_needs_this_machine_is_refused(written: str, error: str, loads: Loads) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigError) as caught:
        loads(written)
    assert caught.value.message == error


@pytest.mark.parametrize(
    "written",
    [
        text(f"function: app.handle, {HERE}", group="target_type: lambda"),
        text(HERE, 'accessories: {db: {image: "postgres:16"}}'),
        text(HOSTS, group="protocol: TCP, target_type: instance, health_check: {protocol: HTTP}", **NETWORK),
        text(HOSTS, 'accessories: {db: {image: "postgres:16", ports: ["10.0.0.10:5432:5432"]}}'),
    ],
)
def test_what_fits_is_accepted(written: str, loads: Loads) -> None:
    """Also on a host that is this machine."""
    assert loads(written).pipeline.deploy.hosts


def test_a_policy_of_volumes_allows_no_paths_of_other_machines(loads: Loads) -> None:
    """A container there may replace one by a link, which this machine does not see. Names are no paths."""
    volumes = "volumes: [/srv/shop/files:/files, cache:/cache]"
    policy, served = Policy(volumes=("/srv/shop", "cache")), _pipeline(loads, HOSTS)
    there, here = (_pipeline(loads, f"{hosts}, {volumes}") for hosts in (HOSTS, HERE))
    assert [*policy.objections(there, frozenset(), "main", "watch", served)] == [
        "it mounts /srv/shop/files on other hosts, where its links cannot be compared with volumes"
    ]
    assert [*policy.objections(here, frozenset(), "main", "watch", served)] == []
    assert [*Policy().objections(there, frozenset(), "main", "watch", served)] == []


def _pipeline(loads: Loads, deploy: str) -> Pipeline:
    return loads(text(deploy)).pipeline
