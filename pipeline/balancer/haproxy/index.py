"""An index of rules with host and path conditions, so a lookup among a thousand costs as much as among ten.

A request's key is `host|path?`. HAProxy's `map_beg` finds the longest key of a map that the request's key begins with.
The first rule by priority is computed here for each key of the map, and not for each request:

- the key of an exact path ends with the `?` of the request's key, that of a path with a `*` at its end does not. So of
  all patterns that match a path, each key begins with the keys of more general ones;
- a host is looked up exactly, by its last labels for `*.example.com`, by its beginning for `api.*`, and as any host.
  There is one lookup for each form that some rule uses. The lowest priority of all results wins.

`patterns` handles wildcards in other places, and a prefix within another one, such as `api.v2.*` beside `api.*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from pipeline.balancer.haproxy.patterns import Pattern
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.application.wildcard import Wildcard
from pipeline.base.identity_cache import IdentityCache

# The default action, after every rule.
DEFAULT = 50001


@dataclass(frozen=True)
class IndexEntry:
    """A host pattern and a path pattern, either of which may be missing, and the priority of their rule."""

    host: Wildcard | None
    path: Wildcard | None
    priority: int

    @cached_property
    def labels(self) -> int:
        """The number of last labels that the host pattern fixes: 2 for `*.example.com`, 0 for another form."""
        suffix = self.host.suffix if self.host else None
        return suffix.count(".") if suffix and suffix.startswith(".") else 0

    @cached_property
    def has_host_name(self) -> bool:
        """True if the host pattern is a name."""
        return self.host is not None and self.host.literal is not None

    @cached_property
    def host_class(self) -> str | None:
        """The host's part of a key, or None if the pattern is neither a name nor has one wildcard at an end."""
        if self.host is None:
            return ""
        if self.host.literal is not None:
            return self.host.literal
        if self.labels:
            return f"*{self.host.suffix}"
        return None if self.host_prefix is None else f"{self.host_prefix}*"

    @cached_property
    def host_prefix(self) -> str | None:
        """The prefix of the host, if the pattern requires only that. Otherwise None."""
        return self.host.prefix if self.host else None

    @cached_property
    def path_key(self) -> str | None:
        """The path's part of a key, or None if the path has wildcards elsewhere than at its end."""
        if self.path is None:
            return ""
        return f"{self.path.literal}?" if self.path.literal is not None else self.path.prefix


def entries(rule: Rule) -> list[IndexEntry] | None:
    """Return the rule as entries, one of which must match, or None if it has other conditions."""
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
    # A path ends before the `?`, so a pattern with one in it matches nothing.
    return [entry for entry in found if "?" not in "".join(p for p in _parts(entry.path) if isinstance(p, str))]


# Most rules stay the same objects when one of them is changed.
_known_entries = IdentityCache(entries)


def _parts(pattern: Wildcard | None) -> tuple[object, ...]:
    return pattern.parts if pattern else ()


@dataclass
class Index:
    """The index of a listener. `keys` is the map, and the other fields select the lookups of hosts.

    `patterns` and `others` are the entries and rules that are not in the map.
    """

    hosts: bool = False
    labels: set[int] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    anywhere: bool = False
    keys: dict[str, int] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)
    others: list[Rule] = field(default_factory=list)

    @classmethod
    def from_rules(cls, rules: Iterable[Rule]) -> Index:
        """Return the index of all rules."""
        index, plain = cls(), list[IndexEntry]()
        for rule in rules:
            found = _known_entries(rule)
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
        lowest: dict[str, dict[str, int]] = {}
        for entry in plain:
            if entry.host_prefix is not None and entry.host_prefix not in self.prefixes:
                self._add_pattern(entry)
                continue
            self.hosts |= entry.has_host_name
            if entry.labels:
                self.labels.add(entry.labels)
            own, key = lowest.setdefault(entry.host_class or "", {}), entry.path_key or ""
            own[key] = min(entry.priority, own.get(key, DEFAULT))
        self.anywhere = "" in lowest
        for name, own in lowest.items():
            self.keys.update((f"{name}|{key}", priority) for key, priority in _best(own))


def _outermost(prefixes: Iterable[str]) -> set[str]:
    """Return the prefixes that do not begin with another one."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return set(kept)


def _best(lowest: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """Return each path key with the lowest priority of all keys that match every path of this key."""
    if len(lowest) == 1:
        return lowest.items()
    return ((key, min(lowest.get(key[:end], DEFAULT) for end in range(len(key) + 1))) for key in lowest)
