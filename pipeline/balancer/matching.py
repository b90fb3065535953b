"""Rule matching in Python: the rule that applies to a request, and why earlier ones do not.

HAProxy's configuration is tested against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from pipeline.balancer.backtracking import safe_length
from pipeline.balancer.model.application.action import Action, Forward, WeightedTargetGroup
from pipeline.balancer.model.application.condition import (
    Condition,
    HostHeader,
    HttpHeader,
    HttpRequestMethod,
    PathPattern,
    QueryString,
    SourceIp,
)
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.application.wildcard import Wildcard


@dataclass(frozen=True)
class HttpRequest:
    """The parts of a request that conditions use. `host` may have a port. `query` is None if there is no `?`."""

    method: str
    host: str
    path: str
    query: str | None
    headers: tuple[tuple[str, str], ...]
    source: str

    @property
    def host_name(self) -> str:
        """The host without its port and without a dot at its end, in lower case."""
        return self.host.partition(":")[0].lower().rstrip(".")

    def header(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def parameters(self) -> list[tuple[str, str]]:
        """Return the keys and values of the query, not decoded."""
        if self.query is None:
            return []
        pairs = (part.partition("=") for part in self.query.split("&"))
        return [(key, value) for key, _, value in pairs]


@dataclass(frozen=True)
class Mismatch:
    """A rule that did not match, and the first of its conditions that did not hold."""

    rule: Rule
    reason: str


def match(rules: Sequence[Rule], request: HttpRequest) -> tuple[Rule | None, list[Mismatch]]:
    """Return the first rule by priority whose conditions all hold, and the mismatches before it.

    The rule is None if the default action applies.
    """
    mismatches: list[Mismatch] = []
    for rule in sorted(rules, key=lambda rule: rule.priority):
        reason = next(_objections(rule, request), None)
        if reason is None:
            return rule, mismatches
        mismatches.append(Mismatch(rule, reason))
    return None, mismatches


def with_test_traffic(action: Action, request: HttpRequest) -> Action:
    """Return an action as it applies to a request, which may have the header that leads to an alternate group."""
    forward = action.forward
    for group in forward.target_groups if forward else ():
        header = group.alternate.header if group.alternate else None
        if group.alternate and header and header.value in request.header(header.name):
            only = WeightedTargetGroup(target_group=group.alternate.target_group)
            action = action.model_copy(update={"forward": Forward(target_groups=(only,))})
    return action


def _objections(rule: Rule, request: HttpRequest) -> Iterator[str]:
    for condition in rule.conditions:
        subject, holds = _test(condition, request)
        if not holds:
            yield f"{condition.kind} requires {_expected_text(condition)}, but {subject}{_doubt(condition, request)}"


def _doubt(condition: Condition, request: HttpRequest) -> str:
    """Return a note if an expression of the condition is not sure to be evaluated for this request."""
    config = condition.config
    if not isinstance(config, HostHeader | PathPattern | HttpHeader):
        return ""
    texts = {HostHeader: [request.host_name], PathPattern: [request.path]}.get(type(config))
    longest = max(map(len, request.header(config.name) if isinstance(config, HttpHeader) else texts or []), default=0)
    lengths = [length for regex in config.regex_values if (length := safe_length(regex)) is not None]
    if not lengths or longest <= min(lengths):
        return ""
    limit = min(lengths)
    return f" ({longest} characters: beyond {limit}, HAProxy may give up on the expression, and does not match then)"


def _test(condition: Condition, request: HttpRequest) -> tuple[str, bool]:
    """Return the actual value as text, and whether the condition holds."""
    match condition.config:
        case HostHeader() as config:
            return f"the host is {request.host_name}", _any(config, [request.host_name], fold=True)
        case PathPattern() as config:
            return f"the path is {request.path}", _any(config, [request.path], fold=False)
        case HttpHeader() as config:
            values = request.header(config.name)
            return (f"it is {', '.join(values)}" if values else "there is none"), _any(config, values, fold=True)
        case HttpRequestMethod() as config:
            return f"it is {request.method}", request.method in config.values
        case QueryString() as config:
            return f"the query is {request.query or 'empty'}", _query(config, request.parameters())
        case SourceIp() as config:
            source = ip_address(request.source)
            return f"the client is {source}", any(source in ip_network(value) for value in config.values)
    raise AssertionError(condition.kind)


def _any(config: HostHeader | PathPattern | HttpHeader, texts: list[str], *, fold: bool) -> bool:
    """Return whether some value or some regular expression matches one of the texts."""
    case: Callable[[str], str] = str.lower if fold else str
    patterns = [Wildcard.parse(case(value)) for value in config.values]
    flags = re.ASCII | (re.IGNORECASE if fold else 0)
    regexes = [(re.compile(value, flags), safe_length(value)) for value in config.regex_values]
    return any(
        any(pattern.matches(case(text)) for pattern in patterns)
        # Longer texts could take very long. HAProxy gives up on them and treats them as not matching.
        or any(regex.search(text) for regex, length in regexes if length is None or len(text) <= length)
        for text in texts
    )


def _query(config: QueryString, parameters: list[tuple[str, str]]) -> bool:
    wanted = [
        (Wildcard.parse("*" if pair.key is None else pair.key.lower()), Wildcard.parse(pair.value.lower()))
        for pair in config.values
    ]
    return any(
        key.matches(name.lower()) and value.matches(text.lower()) for key, value in wanted for name, text in parameters
    )


def accepted_values(condition: Condition) -> list[str]:
    """Return the values of a condition as text, one of which must match."""
    config = condition.config
    if isinstance(config, QueryString):
        return [pair.value if pair.key is None else f"{pair.key}={pair.value}" for pair in config.values]
    return [*config.values, *(f"/{regex}/" for regex in getattr(config, "regex_values", ()))]


def _expected_text(condition: Condition) -> str:
    name = f"{condition.config.name}: " if isinstance(condition.config, HttpHeader) else ""
    return name + " or ".join(accepted_values(condition))
