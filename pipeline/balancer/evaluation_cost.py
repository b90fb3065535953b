"""The work of evaluating the regular expressions of rules for a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.balancer.backtracking import safe_length
from pipeline.balancer.matching import HttpRequest
from pipeline.balancer.model.application.condition import HostHeader, HttpHeader, PathPattern
from pipeline.balancer.model.application.rule import Rule


def evaluation_cost(rules: Iterable[Rule], request: HttpRequest) -> float:
    """Return at most how much work it is, in multiples of what HAProxy does for one expression before it gives up.

    That is about a second. An expression whose work grows with the length of the text alone costs nothing. Any other
    one grows with its square at least, and is not evaluated beyond its safe length.
    """
    total = 0.0
    for rule in rules:
        for condition in rule.conditions:
            match condition.config:
                case HostHeader() as config:
                    texts = [request.host_name]
                case PathPattern() as config:
                    texts = [request.path]
                case HttpHeader() as config:
                    texts = request.header(config.name)
                case _:
                    continue
            safe = [length for regex in config.regex_values if (length := safe_length(regex)) is not None]
            total += sum((len(text) / length) ** 2 for length in safe for text in texts if len(text) <= length)
    return total
