"""A listener's rules as HAProxy's configuration, which sets `txn.rule` to the priority of the rule that applies.

Hosts and paths are looked up together, separated by a `|`. A host that holds a `|` could imitate another host and path.
It is invalid (RFC 9110), so the request is denied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.balancer.haproxy.error_responses import deny
from pipeline.balancer.haproxy.index import DEFAULT, Index
from pipeline.balancer.haproxy.patterns import PatternLists
from pipeline.balancer.haproxy.quoting import expression, quote
from pipeline.balancer.model.application.condition import (
    Condition,
    HostHeader,
    HttpHeader,
    HttpRequestMethod,
    PathPattern,
    QueryString,
    QueryStringValue,
    SourceIp,
)
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.application.wildcard import Wildcard

_NAME_CHARACTER = "[^=&]"
_VALUE_CHARACTER = "[^&]"


class RuleMatching:
    """The lines and map files that find the rule of a request. `prefix` is the prefix of the file names."""

    def __init__(self, rules: Sequence[Rule], prefix: str) -> None:
        self._index = Index.from_rules(rules)
        self._patterns = PatternLists(self._index.patterns, prefix)
        self._prefix = prefix

    def files(self) -> dict[str, str]:
        """Return the maps: name → content."""
        index = self._index
        contents = {
            "prefixes": [f"{prefix} {prefix}*" for prefix in sorted(index.prefixes)],
            "keys": [f"{key} {priority}" for key, priority in sorted(index.keys.items())],
        }
        maps = {self._file(name): "\n".join([*lines, ""]) for name, lines in contents.items() if lines}
        return {**maps, **self._patterns.files()}

    def lines(self) -> Iterator[str]:
        """Yield `http-request` lines of a frontend."""
        # With set-var-fmt they are empty, not undefined, without a Host header (HTTP/1.0) and for `OPTIONS *`.
        # A name with a dot at its end is the same name, so a rule that denies it must match.
        yield "http-request set-var-fmt(txn.host) %[req.fhdr(host),field(1,:),lower,rtrim(.)]"
        yield "http-request set-var-fmt(txn.path) %[path]"
        yield f"{deny(400)} if {{ var(txn.host) -m sub | }}"
        yield f"http-request set-var(txn.rule) int({DEFAULT})"
        yield from self._lookups()
        yield from self._patterns.choices()
        for alternatives in self._patterns.lookups(DEFAULT):
            yield from self._lower(alternatives)
        for rule in self._index.others:
            conditions = " ".join(_condition(condition) for condition in rule.conditions)
            yield (
                f"http-request set-var(txn.rule) int({rule.priority}) "
                f"if {{ var(txn.rule) -m int gt {rule.priority} }} {conditions}"
            )

    def _lookups(self) -> Iterator[str]:
        """Yield the lookups in the index, one for each form of hosts."""
        index, keys = self._index, f"map_beg_int({self._file('keys')},{DEFAULT})"
        if index.hosts:
            yield from self._lower([(f"var(txn.host),concat(|,txn.path,?),{keys}", "")])
        for labels in sorted(index.labels):
            yield f"http-request set-var(txn.tail) var(txn.host),field(-1,.,{labels})"
            longer = "!{ var(txn.host),strcmp(txn.tail) eq 0 }"
            yield from self._lower([(f"str(*.),concat(,txn.tail),concat(|,txn.path,?),{keys}", longer)])
        if index.prefixes:
            yield f"http-request set-var(txn.start) var(txn.host),map_beg({self._file('prefixes')})"
            yield from self._lower([(f"var(txn.start),concat(|,txn.path,?),{keys}", "")])
        if index.anywhere:
            yield from self._lower([(f"str(|),concat(,txn.path,?),{keys}", "")])

    @staticmethod
    def _lower(lookups: list[tuple[str, str]]) -> Iterator[str]:
        """Yield lines that keep the result of a lookup if it is lower than the previous results."""
        if len(lookups) > 1:
            yield f"http-request set-var(txn.found) int({DEFAULT})"
        for lookup, condition in lookups:
            yield f"http-request set-var(txn.found) {lookup}{f' if {condition}' if condition else ''}"
        yield "http-request set-var(txn.rule) var(txn.found) if { var(txn.found),sub(txn.rule) lt 0 }"

    def _file(self, name: str) -> str:
        return f"{self._prefix}.{name}.map"


def _condition(condition: Condition) -> str:
    """Return a condition as an anonymous ACL. One of its patterns must match."""
    match condition.config:
        case HostHeader() as config:
            return _matches_any("var(txn.host)", config, fold=True)
        case PathPattern() as config:
            return _matches_any("var(txn.path)", config, fold=False)
        case HttpHeader() as config:
            # `hdr` instead of `fhdr` would split values at commas. An ACL tests every header of the name.
            return _matches_any(quote(f'req.fhdr("{config.name}")'), config, fold=True)
        case HttpRequestMethod() as config:
            return f"{{ method -m str -- {' '.join(config.values)} }}"
        case QueryString() as config:
            return f"{{ query -m reg -i -- {' '.join(quote(_parameter(pair)) for pair in config.values)} }}"
        case SourceIp() as config:
            return f"{{ src {' '.join(config.values)} }}"
    raise AssertionError(condition.kind)


def _matches_any(fetch: str, config: HostHeader | PathPattern | HttpHeader, *, fold: bool) -> str:
    patterns = [Wildcard.parse(value) for value in config.values]
    flag = "-i " if fold else ""
    # The word `}` would end the condition, quoted or not.
    if patterns and all(pattern.literal not in (None, "}") for pattern in patterns):
        return f"{{ {fetch} -m str {flag}-- {' '.join(quote(p.literal or '') for p in patterns)} }}"
    expressions = [f"^{expression(pattern)}$" for pattern in patterns]
    expressions += [f"(?:{regex})" for regex in config.regex_values]
    return f"{{ {fetch} -m reg {flag}-- {' '.join(map(quote, expressions))} }}"


def _parameter(pair: QueryStringValue) -> str:
    """Return a pair as an expression for the whole query. A parameter without a `=` has an empty value."""
    key = Wildcard.parse(pair.key) if pair.key is not None else Wildcard.parse("*")
    value = Wildcard.parse(pair.value)
    name = expression(key, one=_NAME_CHARACTER)
    text = f"={expression(value, one=_VALUE_CHARACTER)}"
    return f"(^|&){name}{f'({text})?' if value.matches('') else text}(&|$)"
