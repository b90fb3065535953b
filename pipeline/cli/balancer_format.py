"""Listeners, conditions and actions in words."""

from __future__ import annotations

from pipeline.balancer.effective import SharedListener
from pipeline.balancer.haproxy.words import backend_name
from pipeline.balancer.matching import wanted_values
from pipeline.balancer.model import Action, Condition, Redirect
from pipeline.balancer.model.application.condition import HttpHeader
from pipeline.base.quantity import format_duration

_KINDS = {
    "host_header": "host",
    "path_pattern": "path",
    "http_header": "header",
    "http_request_method": "method",
    "query_string": "query",
    "source_ip": "source",
}


def listener_in_words(shared: SharedListener) -> str:
    """Where it answers, and whose it is."""
    return f"{shared.listener.url}, load balancer {shared.name} of {shared.owner}"


def condition_in_words(condition: Condition) -> str:
    """What it asks for, on one line."""
    config = condition.config
    name = f" {config.name}:" if isinstance(config, HttpHeader) else ""
    return f"{_KINDS[condition.kind]}{name} {' or '.join(wanted_values(condition))}"


def action_in_words(owner: str, action: Action) -> str:
    """What it does. `owner`: whose target groups it names."""
    first = "after a valid token " if action.jwt_validation else ""
    if action.redirect:
        return f"{first}redirects to {_place(action.redirect)} ({action.redirect.status_code.removeprefix('HTTP_')})"
    if action.fixed_response:
        return f"{first}answers {action.fixed_response.status_code}"
    stays = action.forward.stickiness if action.forward else None
    kept = f", clients stay for {format_duration(stays.duration)}" if stays else ""
    return f"{first}forwards to {', '.join(_group(name, share) for name, share in shares(owner, action))}{kept}"


def shares(owner: str, action: Action) -> list[tuple[str, float]]:
    """The target groups that it forwards to, and how much of the requests each of them gets, in per cent."""
    groups = action.groups()
    whole = sum(group.weight for group in groups)
    return [(backend_name(owner, group.target_group), round(100 * group.weight / whole, 1)) for group in groups]


def _group(name: str, share: float) -> str:
    return name if share == 100 else f"{name} ({share:g} %)"


def _place(redirect: Redirect) -> str:
    query = f"?{redirect.query}" if redirect.query else ""
    return f"{redirect.protocol.lower()}://{redirect.host}:{redirect.port}{redirect.path}{query}"
