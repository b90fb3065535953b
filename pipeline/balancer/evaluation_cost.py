"""The work of evaluating rules for a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.balancer.backtracking import safe_length
from pipeline.balancer.matching import HttpRequest
from pipeline.balancer.model.application.condition import Condition, HostHeader, HttpHeader, PathPattern, QueryString
from pipeline.balancer.model.application.rule import Rule

# A pattern with wildcards takes about a microsecond for each character.
_PER_CHARACTER = 1e-6


def evaluation_cost(rules: Iterable[Rule], request: HttpRequest) -> float:
    """Return at most about how many seconds it takes.

    HAProxy's limit for one regular expression is counted as a second. An expression whose work grows with the length of
    the text alone costs nothing. The work of any other one grows with its square at least, and it is not evaluated
    beyond its safe length.
    """
    return sum(_cost(condition, request) for rule in rules for condition in rule.conditions)


def _cost(condition: Condition, request: HttpRequest) -> float:
    config = condition.config
    match config:
        case HostHeader():
            return _text_cost(config, [request.host_name])
        case PathPattern():
            return _text_cost(config, [request.path])
        case HttpHeader():
            return _text_cost(config, request.header(config.name))
        case QueryString():
            return 2 * len(config.values) * len(request.query or "") * _PER_CHARACTER
    return 0.0


def _text_cost(config: HostHeader | PathPattern | HttpHeader, texts: Sequence[str]) -> float:
    patterns = len(config.values) * sum(map(len, texts)) * _PER_CHARACTER
    safe = [length for regex in config.regex_values if (length := safe_length(regex)) is not None]
    return patterns + sum((len(text) / length) ** 2 for length in safe for text in texts if len(text) <= length)
