"""The outcome of a request: HAProxy's backend, status and session state translated to ELB's terms.

HAProxy's session state is two letters. The first one names the side that ended the session: C the client, S the target,
P the proxy by refusing it, L the proxy by responding. A capital letter means a close, a small one a timeout. The second
letter names the phase: R request, C connect, H response headers, D data. `--` is a normal end.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pipeline.balancer.access import ActionName, load_balancer_name, target_group_name
from pipeline.balancer.haproxy.index import DEFAULT
from pipeline.balancer.haproxy.log_line import AccessLogLine
from pipeline.balancer.haproxy.naming import HOLDING_SERVER, group_of, is_holding

# ELB's code for a client that closed the connection before the response. HAProxy has none.
CLIENT_CLOSED = 460
# As in ELB's log.
_NO_RULE = -1
_CONNECT_FAILURES = frozenset({"SC", "sC"})
_OWN_RESPONSE = re.compile(r"listener\.\d+\.\d+")
_DENIAL_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "ContentTooLarge",
    463: "TooManyForwarders",
    464: "ProtocolVersionMismatch",
    500: "InternalError",
    501: "NotImplemented",
    505: "HttpVersionNotSupported",
}
_REASONS = {
    "C": "ClientClosedConnection",
    "c": "ClientTimeout",
    "SC": "TargetConnectionError",
    "sC": "TargetConnectionTimeout",
    "S": "TargetClosedConnection",
    "s": "TargetTimeout",
    "PR": "MalformedRequest",
    "PH": "TargetInvalidResponse",
    "PD": "TargetInvalidResponse",
    "K": "DeregistrationDelayElapsed",
    "D": "TargetUnhealthy",
}


class RequestOutcome(NamedTuple):
    """The way a request took and its end. `target` is an address and a port, or `held`: see the activator.

    `rule` is the priority of the rule that applied, 0 for the default action and -1 if none was evaluated.
    """

    load_balancer: str
    target_group: str | None
    target: str | None
    action: ActionName | None
    elb_status: int | None
    target_status: int | None
    error_reason: str | None
    rule: int

    @classmethod
    def from_line(cls, line: AccessLogLine) -> RequestOutcome:
        """Return the outcome for HAProxy's fields."""
        status = _positive(line.numbers["status"])
        target_status = _positive(line.numbers["target_status"])
        if _client_left(line.fields["termination"], target_status):
            status = CLIENT_CLOSED
        action = None if was_refused(line) else _action(line.fields["backend"], status)
        return cls(
            load_balancer=_load_balancer(line.fields["listener"]),
            target_group=_target_group(line.fields["backend"]) if action == "forward" else None,
            # Without a server, HAProxy may still log an address, which is not a target's.
            target=_target(line),
            action=action,
            elb_status=status,
            target_status=target_status,
            error_reason=_error_reason(line, action, status, target_status),
            rule=_NO_RULE if action is None else _priority(line.numbers["rule"]),
        )


def _priority(rule: int) -> int:
    """Return the priority, 0 for the default action. A listener without rules evaluates none and logs none."""
    return 0 if rule in (-1, DEFAULT) else rule


def _target(line: AccessLogLine) -> str | None:
    """Return the address and port of the target, or the word for a request that was held for a target."""
    if is_holding(line.fields["backend"]):
        return HOLDING_SERVER
    return line.text("target") if line.text("server") else None


def connect_errors(line: AccessLogLine) -> int:
    """Return the number of connections to targets that failed, with those of retries."""
    return max(line.numbers["retries"], 0) + (line.fields["termination"][:2] in _CONNECT_FAILURES)


def group_of_backend(backend: str) -> str | None:
    """Return the name of the target group of a backend. None for one that responds by itself."""
    return None if _OWN_RESPONSE.fullmatch(backend) else _target_group(backend)


def was_refused(line: AccessLogLine) -> bool:
    """Return True if HAProxy responded before the request was complete or before the rules were evaluated."""
    termination = line.fields["termination"]
    return line.fields["backend"] == line.fields["listener"] or (termination[1] == "R" and termination[0] != "L")


def _client_left(termination: str, target_status: int | None) -> bool:
    """Return True if the client left before the response. While the request arrives, that is a bad request."""
    return termination[0] == "C" and termination[1] != "R" and target_status is None


def _action(backend: str, status: int | None) -> ActionName | None:
    if _OWN_RESPONSE.fullmatch(backend):
        return "redirect" if status is not None and 300 <= status < 400 else "fixed-response"
    return "forward"


def _error_reason(
    line: AccessLogLine, action: ActionName | None, status: int | None, target_status: int | None
) -> str | None:
    """Return an ELB-style code for a request that failed, or None."""
    termination = line.fields["termination"][:2]
    if termination == "--" or (target_status == 101 and termination[1] == "D"):
        return None  # A tunnel ends when one side closes it.
    if termination[0] == "L" and action in ("redirect", "fixed-response"):
        return None
    if action == "forward" and line.text("server") is None and termination[0] in "Ss":
        return "NoTarget"
    if is_holding(line.fields["backend"]) and target_status is None and termination[0] == "S":
        return "NoTarget"
    if target_status is None and status in _DENIAL_REASONS:
        return _DENIAL_REASONS[status]
    return _REASONS.get(termination) or _REASONS.get(termination[0]) or "InternalError"


@lru_cache(maxsize=1024)
def _load_balancer(frontend: str) -> str:
    owner, name, _ = frontend.split(".")
    return load_balancer_name(owner, name)


@lru_cache(maxsize=1024)
def _target_group(backend: str) -> str:
    owner, _, name = group_of(backend).partition(".")
    return target_group_name(owner, name)


def _positive(number: int) -> int | None:
    return number if number > 0 else None
