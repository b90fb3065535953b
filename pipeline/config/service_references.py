"""Checks of the target groups that services name, in the raw data, so that an invalid section hides no problem."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pipeline.base.errors import Problem
from pipeline.base.suggestion import did_you_mean, nearest
from pipeline.config.document import Document, KeyPath, mapping_at

_OF_DEPLOY = ("deploy", "target_group")


def groups_of_services(data: dict[str, Any]) -> dict[KeyPath, str]:
    """Return the target group of each service that names one, by its place in the file."""
    deploy = mapping_at(data, "deploy")
    services = mapping_at(deploy, "services")
    found: dict[KeyPath, object] = {} if services else {_OF_DEPLOY: deploy.get("target_group")}
    for name in services:
        found["deploy", "services", name, "target_group"] = mapping_at(services, name).get("target_group")
    return {place: group for place, group in found.items() if isinstance(group, str)}


def check_groups(document: Document, data: dict[str, Any], forwarded: Collection[str] | None) -> Iterator[Problem]:
    """Yield groups that are not there, and those whose containers would get no requests.

    `forwarded` are the groups of all listeners, or None if they are not known.
    """
    groups, named = mapping_at(data, "balancer", "target_groups"), groups_of_services(data)
    # A misspelt section is reported as an unknown key.
    is_undeclared = nearest("balancer", data) is None
    for where, group in named.items():
        if group not in groups and (groups or is_undeclared):
            hint = did_you_mean(group, groups) if groups else "declare it in balancer; a worker needs none"
            yield document.problem(where, f"there is no target group {group}", hint)
        elif mapping_at(groups, group).get("target_type") == "alb":
            yield document.problem(
                where,
                f"target group {group} has target_type: alb, so its target is a load balancer, not a container",
                "name the target group that this load balancer forwards to",
            )
        if group in groups and forwarded is not None and group not in forwarded:
            yield document.problem(
                where,
                f"no listener forwards to {group}, so the deployment would be unreachable",
                f"add default_action: {{forward: {group}}} to a listener",
            )
    # Services of a wrong form may name it.
    is_readable = isinstance(data.get("deploy"), dict) and isinstance(data["deploy"].get("services", {}), dict)
    if groups and is_readable and not named and _OF_DEPLOY not in document.values:
        hint = "name the group of balancer.target_groups in which the containers are registered, or remove balancer"
        yield document.problem(_OF_DEPLOY, "is missing", hint)
