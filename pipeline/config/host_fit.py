"""The check that services and accessories can be where `deploy.hosts` puts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from pipeline.balancer.model import Declaration, GatewayTargetGroup, NetworkTargetGroup, TargetGroup
from pipeline.base.errors import FieldError
from pipeline.config.accessory import Accessory
from pipeline.config.deploy import Deploy
from pipeline.config.service import ServiceSettings
from pipeline.engine.cluster import SWARM
from pipeline.engine.host import LOCAL


def has_other_machines(deploy: Deploy) -> bool:
    """Return whether containers run on another machine than this one."""
    return deploy.runtime == SWARM or any(host.docker != LOCAL for host in deploy.hosts)


def host_fit_mistakes(
    deploy: Deploy, balancer: Declaration, accessories: Mapping[str, Accessory]
) -> Iterator[FieldError]:
    """Yield what needs this machine and would be on another one."""
    if not has_other_machines(deploy):
        return
    for name, service in deploy.all_services().items():
        if service.is_job:
            continue
        place = ("deploy", "services", name) if deploy.services else ("deploy",)
        if obstacle := obstacle_on_host(service):
            yield FieldError((*place, "function"), f"{obstacle}; {_remedy(deploy)}")
        group = balancer.target_groups.get(service.target_group or "")
        if group is not None and service.target_group and (obstacle := group_obstacle(group)):
            yield FieldError(("balancer", "target_groups", service.target_group), f"{obstacle}; {_remedy(deploy)}")
    for name, accessory in accessories.items():
        if not any(_is_reachable(port.address) for port in accessory.published):
            yield FieldError(
                ("accessories", name),
                'must publish a port on an address that the hosts reach, such as ports: ["10.0.0.10:5432:5432"]: it '
                f"runs on this machine, and containers of deploy.hosts do not find it by its name; {_remedy(deploy)}",
            )


def obstacle_on_host(service: ServiceSettings) -> str | None:
    """Return why a service cannot run on another machine, or None."""
    if service.function is not None:
        return "runs on this machine only, which has the program that calls it; write a program that listens on a port"
    return None


def group_obstacle(group: TargetGroup) -> str | None:
    """Return why containers on other machines cannot be targets of a group, or None."""
    if isinstance(group, GatewayTargetGroup):
        return f"protocol {group.protocol} reaches containers of this machine only"
    if isinstance(group, NetworkTargetGroup) and group.target_type == "ip":
        if "UDP" in group.protocol:
            return f"protocol {group.protocol} reaches containers of this machine only"
        return "must have target_type: instance with deploy.hosts, because a container is reached at a port of its host"
    return None


def _remedy(deploy: Deploy) -> str:
    return "or use runtime: docker" if deploy.runtime == SWARM else "or leave out deploy.hosts"


def _is_reachable(address: str) -> bool:
    return not ip_address(address).is_loopback
