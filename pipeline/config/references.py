"""Checks across sections of pipeline.yaml. They use the raw data, so that an invalid section hides no problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from pipeline.balancer.binding import Binding
from pipeline.balancer.model.endpoint import EntryPoint
from pipeline.balancer.model.load_balancer_target import entry_mistake, target_mistake
from pipeline.balancer.model.network.kernel_needs import family_mistake, plane_mistake
from pipeline.balancer.model.network.target_group import NetworkTargetGroup
from pipeline.balancer.model.protocol import GENEVE, forward_mistake, transports
from pipeline.base.errors import Problem
from pipeline.base.suggestion import did_you_mean
from pipeline.config.document import Document, KeyPath, mapping_at
from pipeline.config.endpoint_references import check_endpoint_references
from pipeline.config.service_references import check_groups, groups_of_services


def check_references(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    """Yield unknown groups, ports that are used twice, checks that always pass, and a deployment that none reaches."""
    groups = mapping_at(data, "balancer", "target_groups")
    wanted = set(groups_of_services(data).values())
    forwarded = set()
    for path, listener in _listeners(data):
        for where, action in _actions(listener, path):
            for place in _alternates(action.get("forward"), (*where, "forward")):
                yield document.problem(place, "unknown key", at_key=True)
        for where, group in _forwards(listener, path):
            forwarded.add(group)
            if groups and group not in groups:
                yield document.problem(where, f"there is no target group {group}", did_you_mean(group, groups))
            elif mistake := _forward_mistake(_protocol(data, path, listener), mapping_at(groups, group), group):
                yield document.problem(where, *mistake)
        balancer = mapping_at(data, *map(str, path[:3]))
        if mistake := _plane_mistake(balancer, listener, groups):
            yield document.problem((*path, "default_action"), *mistake)
        elif mistake := _family_mistake(balancer, listener, groups, wanted):
            yield document.problem((*path[:3], "zones" if "zones" in balancer else "address"), *mistake)
    yield from _ports_used_twice(document, data)
    yield from _hold_times(document, groups)
    yield from _checks_that_always_pass(document, groups)
    yield from _targets_that_do_not_fit(document, groups, mapping_at(data, "balancer", "load_balancers"))
    yield from check_endpoint_references(document, data)
    is_all_known = forwarded <= groups.keys()
    yield from check_groups(document, data, forwarded if is_all_known and (forwarded or _only_answer(data)) else None)


def _forward_mistake(protocol: object, group: dict[str, Any], name: str) -> tuple[str, str] | None:
    mistake = forward_mistake(protocol, group.get("protocol", "HTTP"), name)
    return mistake or entry_mistake(protocol, group.get("target_type"), name)


def _plane_mistake(
    balancer: dict[str, Any], listener: dict[str, Any], groups: dict[str, Any]
) -> tuple[str, str] | None:
    """Return why no plane can carry a listener. None for mistakes of the groups or of the listener itself."""
    protocol = listener.get("protocol")
    if balancer.get("type") != "network" or protocol not in ("TCP", "TLS"):
        return None
    found = _network_groups(listener, groups)
    return plane_mistake(protocol, _addresses(balancer), found) if found else None


def _family_mistake(
    balancer: dict[str, Any], listener: dict[str, Any], groups: dict[str, Any], wanted: set[str]
) -> tuple[str, str] | None:
    """Return why the containers of a target group get nothing from one address of a listener."""
    if balancer.get("type") != "network":
        return None
    found = _network_groups(listener, groups)
    mistakes = (
        family_mistake(listener.get("protocol"), _addresses(balancer), found[group], group)
        for group in sorted(wanted & found.keys())
    )
    return next(filter(None, mistakes), None)


def _network_groups(listener: dict[str, Any], groups: dict[str, Any]) -> dict[str, NetworkTargetGroup]:
    """Return the target groups of a listener. Empty if one of them has a mistake of its own."""
    used = {name: mapping_at(groups, name) for _, name in _forwards(listener, ()) if name in groups}
    try:
        return {name: NetworkTargetGroup.model_validate(group) for name, group in used.items()}
    except ValidationError:
        return {}


def _targets_that_do_not_fit(
    document: Document, groups: dict[str, Any], balancers: dict[str, Any]
) -> Iterator[Problem]:
    for name in groups:
        if mistake := target_mistake(mapping_at(groups, name), balancers):
            yield document.problem(("balancer", "target_groups", name, mistake.key), mistake.reason, mistake.hint)


def _protocol(data: dict[str, Any], path: KeyPath, listener: dict[str, Any]) -> object:
    """Return the protocol of the listener at `path`. Only one of a network load balancer must be given."""
    kind = mapping_at(data, *map(str, path[:3])).get("type")
    if kind == "gateway":
        return GENEVE
    protocol = listener.get("protocol", "" if kind == "network" else None)
    # It has a mistake of its own.
    return "" if protocol == GENEVE else protocol


def _ports_used_twice(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    known: dict[KeyPath, Binding] = {}
    for path, listener in _listeners(data):
        port, protocol = listener.get("port"), listener.get("protocol")
        balancer = mapping_at(data, *map(str, path[:3]))
        if not isinstance(port, int) or balancer.get("type") == "gateway":
            continue
        addresses = _addresses(balancer)
        binding = Binding(addresses, port, transports(protocol if isinstance(protocol, str) else None))
        if other := next((where for where, each in known.items() if each.overlaps(binding)), None):
            line = document.place(other)[0]
            yield document.problem((*path, "port"), f"port {port} is used by the listener on line {line}")
        else:
            known[*path, "port"] = binding


def _addresses(balancer: dict[str, Any]) -> tuple[str, ...]:
    """Return the addresses of a load balancer. Those of one with a mistake in them count as every address."""
    place = {key: balancer[key] for key in ("scheme", "address", "zones") if key in balancer}
    try:
        return EntryPoint(type="", **place).bind_addresses
    except ValidationError:
        return ("*",)


def _checks_that_always_pass(document: Document, groups: dict[str, Any]) -> Iterator[Problem]:
    for name, group in groups.items():
        protocol = mapping_at(groups, name).get("protocol", "HTTP")
        if protocol == GENEVE:
            continue
        default = "HTTP" if protocol in ("HTTP", "HTTPS") else "TCP"
        is_published = mapping_at(groups, name).get("target_type") == "instance"
        if is_published and mapping_at(group, "health_check").get("protocol", default) == "TCP":
            path: KeyPath = ("balancer", "target_groups", name)
            yield document.problem(
                (*path, "health_check") if "health_check" in group else path,
                "a TCP check of target_type: instance always passes, because Docker accepts each connection to a "
                "published port, also if nothing listens in the container",
                "set health_check.protocol to HTTP or HTTPS, or target_type to ip",
            )


def _listeners(data: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    for name, balancer in mapping_at(data, "balancer", "load_balancers").items():
        listeners = balancer.get("listeners") if isinstance(balancer, dict) else None
        for index, listener in enumerate(listeners if isinstance(listeners, list) else []):
            if isinstance(listener, dict):
                yield ("balancer", "load_balancers", name, "listeners", index), listener


def _only_answer(data: dict[str, Any]) -> bool:
    """Return whether every action is known to be one that needs no target."""
    actions = [action for path, listener in _listeners(data) for _, action in _actions(listener, path)]
    return bool(actions) and all(action.keys() & {"redirect", "fixed_response"} for action in actions)


def _forwards(listener: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield the position and the name of each target group in an action of the listener, in any notation."""
    for where, action in _actions(listener, path):
        forward: Any = action.get("forward")
        yield from _named(forward, (*where, "forward"))


def _actions(listener: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield the position and the content of each action of the listener."""
    if "default_action" in listener:
        yield (*path, "default_action"), mapping_at(listener, "default_action")
    rules = listener.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        yield (*path, "rules", index, "action"), mapping_at(rule, "action")


def _alternates(forward: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the position of each key that only a deployment sets."""
    if isinstance(forward, list):
        for index, part in enumerate(forward):
            yield from _alternates(part, (*path, index))
    elif isinstance(forward, dict):
        if "alternate" in forward:
            yield (*path, "alternate")
        yield from _alternates(forward.get("target_groups"), (*path, "target_groups"))


def _hold_times(document: Document, groups: dict[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each key of a target group that only a release sets."""
    for name in groups:
        group = mapping_at(groups, name)
        # Other protocols are of network load balancers, whose groups do not know the key.
        if "hold_time" in group and group.get("protocol", "HTTP") in ("HTTP", "HTTPS"):
            path: KeyPath = ("balancer", "target_groups", name, "hold_time")
            hint = "set it in the service: `scaling: {min: 0, hold_time: …}`"
            yield document.problem(path, "unknown key", hint, at_key=True)


def _named(forward: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(forward, str):
        yield path, forward
    elif isinstance(forward, list):
        for index, part in enumerate(forward):
            yield from _named(part, (*path, index))
    elif isinstance(forward, dict):
        for key in ("target_group", "target_groups"):
            if key in forward:
                yield from _named(forward[key], (*path, key))
