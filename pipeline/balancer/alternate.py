"""Alternate groups: a second target group that gets a share of the requests of the first one. Pure.

A deployment declares them while it moves traffic from one release to the next. The share is kept in the forwards
themselves (`AlternateForward`), so the registry is the truth of it, and removing the alternate groups gives back the
declaration as it was, with the user's own weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from pydantic import TypeAdapter, ValidationError

from pipeline.balancer.binding import Binding
from pipeline.balancer.model import (
    Action,
    ApplicationTargetGroup,
    Declaration,
    GatewayTargetGroup,
    Listener,
    Name,
    SharedGroup,
    TargetGroup,
)
from pipeline.balancer.model.alternate_group import AlternateForward, TestTraffic
from pipeline.balancer.model.application.action import MAX_GROUPS, Forward, WeightedTargetGroup
from pipeline.balancer.model.variants import AnyListener
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import not_declared

SUFFIX = "-next"
"""Ends the name of an alternate group."""
_NAME = TypeAdapter[str](Name)
_Change = Callable[[Forward], Forward]


@dataclass(frozen=True)
class Alternate:
    """The share of a target group's requests that its alternate group gets, in percent: 0 to 100, in steps of 0.1.

    `test_traffic`: requests that reach the alternate group whatever the share, or None.
    """

    share: float
    test_traffic: TestTraffic | None = None


def alternate_name(group: str) -> str:
    """Return the name of the alternate group of a target group."""
    return f"{group}{SUFFIX}"


def with_alternates(declaration: Declaration, alternates: Mapping[str, Alternate]) -> Declaration:
    """Return a declaration with exactly these alternate groups. `alternates`: by the target groups that they belong to.

    An alternate group has the settings of its target group. Each forward to the target group, in all listeners and
    rules, is divided between both, and keeps its proportion to other groups. If clients stick to targets of the group,
    they stick to one of the two groups too. Another share changes nothing but weights. Without alternates, the
    declaration is as it was before it had any.

    Raises `ConfigError` for a target group that is unknown, unused or of another owner, a name that is taken or too
    long, a share that is not 0 to 100 in steps of 0.1, a forward to more than five groups, and test traffic that does
    not fit.
    """
    found = without_alternates(declaration)
    for group, alternate in alternates.items():
        found = _with_alternate(found, group, alternate)
    return found


def without_alternates(declaration: Declaration) -> Declaration:
    """Return a declaration as it was before it had alternate groups. The same object if it has none."""
    gone = {each.target_group for _, each in _alternates(declaration)}
    if not gone:
        return declaration
    restored = _with_actions(declaration, _unsplit)
    balancers = {
        name: balancer.model_copy(update={"listeners": tuple(_kept(balancer.listeners, gone))})
        for name, balancer in restored.load_balancers.items()
    }
    groups = {name: group for name, group in restored.target_groups.items() if name not in gone}
    return restored.model_copy(update={"target_groups": groups, "load_balancers": balancers})


def shares(declaration: Declaration) -> Mapping[str, float]:
    """Return the share of each alternate group, by the target group that it belongs to. Empty at rest."""
    return {group: alternate.share for group, alternate in _alternates(declaration)}


def with_shares(declaration: Declaration, wanted: Mapping[str, float]) -> Declaration:
    """Return a declaration whose alternate groups have other shares, by their target groups. Nothing else changes."""
    return _with_actions(declaration, partial(_weighed, wanted=wanted))


def _weighed(forward: Forward, *, wanted: Mapping[str, float]) -> Forward:
    groups = tuple(
        group.model_copy(update={"alternate": group.alternate.model_copy(update={"share": wanted[group.target_group]})})
        if group.alternate and group.target_group in wanted
        else group
        for group in forward.target_groups
    )
    return forward.model_copy(update={"target_groups": groups})


def _alternates(declaration: Declaration) -> Iterator[tuple[str, AlternateForward]]:
    for _, _, listener in declaration.listeners():
        for action in _actions(listener):
            for group in action.forward.target_groups if action.forward else ():
                if group.alternate:
                    yield group.target_group, group.alternate


def _with_alternate(declaration: Declaration, name: str, alternate: Alternate) -> Declaration:
    group = _home_group(declaration, name)
    test = alternate.test_traffic
    if test and test.header and not isinstance(group, ApplicationTargetGroup):
        raise ConfigError(
            f"target group {name} has protocol {group.protocol}, whose connections have no headers",
            hint="use test_traffic.port",
        )
    try:
        added = AlternateForward(
            target_group=alternate_name(name),
            share=alternate.share,
            sticky_for=_sticky_for(group),
            header=test.header if test else None,
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"the share of target group {name} is invalid: {reason}") from error
    found = _with_actions(declaration, partial(_split, name=name, added=added))
    found = found.model_copy(update={"target_groups": {**found.target_groups, added.target_group: group}})
    return _with_test_listener(found, name, added.target_group, test.port) if test and test.port else found


def _home_group(declaration: Declaration, name: str) -> TargetGroup:
    if isinstance(declaration, SharedGroup):
        raise ConfigError(
            f"target group {name} belongs to another owner, so the traffic cannot move to a second one",
            hint="use strategy: rolling",
        )
    if name not in declaration.target_groups:
        raise not_declared(f"target group {name}", declaration.target_groups, name)
    if mistake := name_mistake(name, declaration.target_groups):
        raise ConfigError(f"target group {name} {mistake}", hint="use another name for the target group")
    if not declaration.uses(name):
        raise ConfigError(
            f"no listener forwards to target group {name}, so it gets no requests that could be divided",
            hint=f"add default_action: {{forward: {name}}} to a listener",
        )
    group = declaration.target_groups[name]
    if isinstance(group, GatewayTargetGroup):
        raise ConfigError(
            f"target group {name} has protocol GENEVE, and a gateway load balancer forwards to one group only, so the "
            "traffic cannot move to a second one",
            hint="use strategy: rolling",
        )
    return group


def name_mistake(group: str, groups: Mapping[str, object]) -> str | None:
    """Return why a target group can have no alternate group, None if it can. `groups`: those of the declaration."""
    alternate = alternate_name(group)
    if alternate in groups:
        return f"needs the name {alternate} for the next release, which another target group has"
    try:
        _NAME.validate_python(alternate)
    except ValidationError:
        return f"must have at most {32 - len(SUFFIX)} characters, because the next release needs {alternate}"
    return None


def _sticky_for(group: TargetGroup) -> timedelta | None:
    """Return how long clients stick to a target of the group, None if they do not."""
    if not isinstance(group, ApplicationTargetGroup) or not group.attributes.stickiness:
        return None
    attributes = group.attributes
    is_app = attributes.stickiness_type == "app_cookie"
    return timedelta(seconds=attributes.app_cookie_duration if is_app else attributes.lb_cookie_duration)


def _split(forward: Forward, *, name: str, added: AlternateForward) -> Forward:
    if all(group.target_group != name for group in forward.target_groups):
        return forward
    # Among groups that clients change all the time, they have no target to stay with.
    is_free = len(forward.target_groups) > 1 and forward.stickiness is None
    added = added.model_copy(update={"sticky_for": None}) if is_free else added
    split = forward.model_copy(
        update={
            "target_groups": tuple(
                group.model_copy(update={"alternate": added}) if group.target_group == name else group
                for group in forward.target_groups
            )
        }
    )
    if len(split.weighted_groups) > MAX_GROUPS:
        raise ConfigError(
            f"a forward to {name} and {len(forward.target_groups) - 1} other target groups has no room for "
            f"{added.target_group}: at most {MAX_GROUPS} are possible",
            hint="forward to fewer target groups, or use strategy: rolling",
        )
    return split


def _unsplit(forward: Forward) -> Forward:
    if all(group.alternate is None for group in forward.target_groups):
        return forward
    bare = tuple(
        WeightedTargetGroup(target_group=group.target_group, weight=group.weight) if group.alternate else group
        for group in forward.target_groups
    )
    return forward.model_copy(update={"target_groups": bare})


def _to_alternate(forward: Forward, *, name: str, alternate: str) -> Forward:
    groups = tuple(
        group.model_copy(update={"target_group": alternate, "alternate": None}) if group.target_group == name else group
        for group in forward.target_groups
    )
    return forward.model_copy(update={"target_groups": groups})


def _with_test_listener(declaration: Declaration, name: str, alternate: str, port: int) -> Declaration:
    """Return a declaration with a copy of the first listener that forwards to a group, for the alternate group."""
    for key, balancer, listener in declaration.listeners():
        if name in listener.groups() and listener.default_action is not None:
            change = partial(_to_alternate, name=name, alternate=alternate)
            copy = _listener_with_actions(listener, change).model_copy(update={"port": port})
            _check_free(declaration, Binding.of(balancer, copy))
            extended = balancer.model_copy(update={"listeners": (*balancer.listeners, copy)})
            return declaration.model_copy(update={"load_balancers": {**declaration.load_balancers, key: extended}})
    raise ConfigError(
        f"no listener with a default_action forwards to target group {name}, so it can have no test listener",
        hint="use test_traffic.header",
    )


def _check_free(declaration: Declaration, binding: Binding) -> None:
    if any(Binding.of(balancer, listener).overlaps(binding) for _, balancer, listener in declaration.listeners()):
        raise ConfigError(
            f"test_traffic.port {binding.port} is the port of a listener", hint="use a port that no listener has"
        )


def _kept(listeners: Iterable[AnyListener], gone: set[str]) -> Iterator[AnyListener]:
    """Yield the listeners that are no test listeners. Only those forward to an alternate group as to any other."""
    for listener in listeners:
        if not gone & listener.groups():
            yield listener


def _with_actions(declaration: Declaration, change: _Change) -> Declaration:
    balancers = {
        name: balancer.model_copy(
            update={"listeners": tuple(_listener_with_actions(each, change) for each in balancer.listeners)}
        )
        for name, balancer in declaration.load_balancers.items()
    }
    return declaration.model_copy(update={"load_balancers": balancers})


def _listener_with_actions(listener: AnyListener, change: _Change) -> AnyListener:
    found: dict[str, object] = {}
    if isinstance(listener, Listener) and listener.rules:
        found["rules"] = tuple(
            rule.model_copy(update={"action": _changed(rule.action, change)}) for rule in listener.rules
        )
    if listener.default_action:
        found["default_action"] = _changed(listener.default_action, change)
    return listener.model_copy(update=found)


def _changed(action: Action, change: _Change) -> Action:
    return action.model_copy(update={"forward": change(action.forward)}) if action.forward else action


def _actions(listener: AnyListener) -> Iterator[Action]:
    yield from (rule.action for rule in listener.rules)
    if listener.default_action:
        yield listener.default_action
