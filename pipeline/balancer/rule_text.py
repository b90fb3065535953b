"""Listeners, conditions and actions as one line of text each, and the shares of a forward. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.balancer.access import target_group_name
from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.matching import accepted_values
from pipeline.balancer.model import Action, Condition, Redirect
from pipeline.balancer.model.application.condition import HttpHeader
from pipeline.base.quantity import format_duration

ALL_PACKETS = "all ports and protocols"
"""The place of a gateway load balancer's listener."""
_KINDS = {
    "host_header": "host",
    "path_pattern": "path",
    "http_header": "header",
    "http_request_method": "method",
    "query_string": "query",
    "source_ip": "source",
}


def shares(owner: str, action: Action) -> list[tuple[str, float]]:
    """Return the target groups of `owner` that an action forwards to, each with its percentage of the requests."""
    groups = action.groups()
    whole = sum(group.weight for group in groups)
    return [(target_group_name(owner, group.target_group), round(100 * group.weight / whole, 1)) for group in groups]


def format_listener(shared: EffectiveListener) -> str:
    """Return the listener's place, its load balancer and its owner."""
    return f"{format_place(shared)}, load balancer {shared.name} of {shared.owner}"


def format_place(shared: EffectiveListener) -> str:
    """Return the URLs of a listener, or which packets it takes if it has none."""
    return ", ".join(shared.urls) or ALL_PACKETS


def format_conditions(conditions: Sequence[Condition]) -> str:
    """Return all conditions of a rule, or `all others` for a default action."""
    return ", ".join(map(format_condition, conditions)) or "all others"


def format_condition(condition: Condition) -> str:
    """Return the part of the request and the wanted values."""
    config = condition.config
    name = f" {config.name}:" if isinstance(config, HttpHeader) else ""
    return f"{_KINDS[condition.kind]}{name} {' or '.join(accepted_values(condition))}"


def format_action(owner: str, action: Action) -> str:
    """Return the effect of the action. `owner` is the owner of the target groups that it names."""
    first = "after a valid token " if action.jwt_validation else ""
    if action.redirect:
        return f"{first}redirects to {_place(action.redirect)} ({action.redirect.status_code.removeprefix('HTTP_')})"
    if action.fixed_response:
        return f"{first}returns {action.fixed_response.status_code}"
    stays = action.forward.group_stickiness if action.forward else None
    kept = f", clients stay for {format_duration(stays.duration)}" if stays else ""
    return f"{first}forwards to {', '.join(_group(name, share) for name, share in shares(owner, action))}{kept}"


def _group(name: str, share: float) -> str:
    return name if share == 100 else f"{name} ({share:g} %)"


def _place(redirect: Redirect) -> str:
    query = f"?{redirect.query}" if redirect.query else ""
    return f"{redirect.protocol.lower()}://{redirect.host}:{redirect.port}{redirect.path}{query}"
