"""Rules that ask for a host and a path, as maps: so that finding one of a thousand costs what finding one of ten does.

A request's key is `host|path?`. A map of HAProxy's kind `beg` answers with the longest of its keys that the request's
begins with, from a tree. The first rule by priority is then worked out here, once, and not for each request:

- an exact path is written with the `?` that ends the request's key, a path with a `*` at its end without it: so of
  all that match a path, each one's key begins with the ones that match more;
- a host is looked up by itself, by its last labels for `*.example.com`, by its beginning for `api.*`, and as any host:
  a lookup for each way in which some rule names hosts. The lowest number of all wins.

What has wildcards elsewhere is left to `patterns`, and so is a beginning within another: `api.v2.*` beside `api.*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from pipeline.balancer.haproxy.patterns import Pattern
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.application.wildcard import Wildcard

# The default action, after every rule.
DEFAULT = 50001


@dataclass(frozen=True)
class IndexEntry:
    """One host pattern and one path pattern, either of which may be missing, and the rule that they lead to."""

    host: Wildcard | None
    path: Wildcard | None
    priority: int

    @property
    def labels(self) -> int:
        """Of how many labels the host pattern fixes the end: 2 for `*.example.com`, 0 where it is not of that form."""
        suffix = self.host.suffix if self.host else None
        return suffix.count(".") if suffix and suffix.startswith(".") else 0

    @property
    def host_class(self) -> str | None:
        """What stands for the host in keys; None when it is no exact name and has no wildcard at one end."""
        if self.host is None:
            return ""
        if self.host.literal is not None:
            return self.host.literal
        if self.labels:
            return f"*{self.host.suffix}"
        return None if self.host_prefix is None else f"{self.host_prefix}*"

    @property
    def host_prefix(self) -> str | None:
        """What the host begins with where the pattern says no more; None where it says something else."""
        return self.host.prefix if self.host else None

    @property
    def path_key(self) -> str | None:
        """What a key continues with after the host; None when the path has wildcards elsewhere than at its end."""
        if self.path is None:
            return ""
        return f"{self.path.literal}?" if self.path.literal is not None else self.path.prefix


def entries(rule: Rule) -> list[IndexEntry] | None:
    """The rule as entries, one of which has to match; None when it asks for more than host and path patterns."""
    hosts: Iterable[Wildcard | None] = (None,)
    paths: Iterable[Wildcard | None] = (None,)
    for condition in rule.conditions:
        config = condition.host_header or condition.path_pattern
        if config is None or config.regex_values:
            return None
        if condition.host_header:
            hosts = [Wildcard.parse(value.lower()) for value in condition.host_header.values]
        elif condition.path_pattern:
            paths = [Wildcard.parse(value) for value in condition.path_pattern.values]
    found = (IndexEntry(host, path, rule.priority) for host, path in product(hosts, paths))
    # The path ends where a ? is, so what asks for one in it matches nothing.
    return [entry for entry in found if "?" not in "".join(p for p in _parts(entry.path) if isinstance(p, str))]


def _parts(pattern: Wildcard | None) -> tuple[object, ...]:
    return pattern.parts if pattern else ()


@dataclass
class Index:
    """The map of a listener: `keys` names the rules, the rest how hosts are looked up. `others` are in no index."""

    hosts: bool = False
    labels: set[int] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    anywhere: bool = False
    keys: dict[str, int] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)
    others: list[Rule] = field(default_factory=list)

    @classmethod
    def from_rules(cls, rules: Iterable[Rule]) -> Index:
        """The index of those rules that can be in one."""
        index, plain = cls(), list[IndexEntry]()
        for rule in rules:
            found = entries(rule)
            if found is None:
                index.others.append(rule)
            for entry in found or ():
                if entry.host_class is None or entry.path_key is None:
                    index._add_pattern(entry)
                else:
                    plain.append(entry)
        index._classify(plain)
        return index

    def _add_pattern(self, entry: IndexEntry) -> None:
        self.patterns.append(Pattern(entry.host, entry.path, entry.priority))

    def _classify(self, plain: list[IndexEntry]) -> None:
        self.prefixes = _outermost(prefix for entry in plain if (prefix := entry.host_prefix) is not None)
        by_class: dict[str, list[IndexEntry]] = {}
        for entry in plain:
            if entry.host_prefix is not None and entry.host_prefix not in self.prefixes:
                self._add_pattern(entry)
                continue
            by_class.setdefault(entry.host_class or "", []).append(entry)
            self.hosts |= entry.host is not None and entry.host.literal is not None
            self.labels |= {entry.labels} - {0}
        self.anywhere = "" in by_class
        for name, own in by_class.items():
            self.keys.update((f"{name}|{key}", priority) for key, priority in _best(own))


def _outermost(prefixes: Iterable[str]) -> set[str]:
    """Those that do not begin with another."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return set(kept)


def _best(found: list[IndexEntry]) -> Iterator[tuple[str, int]]:
    """For each path key, the lowest priority of all that match what it matches."""
    lowest: dict[str, int] = {}
    for entry in found:
        key = entry.path_key or ""
        lowest[key] = min(entry.priority, lowest.get(key, DEFAULT))
    for key in lowest:
        yield key, min(lowest.get(key[:end], DEFAULT) for end in range(len(key) + 1))
