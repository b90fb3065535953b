"""Rules that ask for a host and a path, as maps: so that finding one of a thousand costs what finding one of ten does.

A request's key is `host|path?`. A map of HAProxy's kind `beg` answers with the longest of its keys that the request's
begins with, from a tree. The first rule by priority is then worked out here, once, and not for each request:

- an exact path is written with the `?` that ends the request's key, a path with a `*` at its end without it: so of
  all that match a path, each one's key begins with the ones that match more;
- a host is looked up first, by itself or by its last labels for `*.example.com`; rules for `*.example.com` are then
  entered under each exact host that it matches too. For `api.*`, which says nothing of the end, and for rules without a
  host there are lookups of their own; the lowest number of all wins.

What has wildcards elsewhere is left to `patterns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from pipeline.balancer.haproxy.patterns import Pattern
from pipeline.balancer.model.rule import Rule
from pipeline.balancer.model.wildcard import Wildcard

# The default action, after every rule.
DEFAULT = 50001


@dataclass(frozen=True)
class Entry:
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
        return None if self.host.prefix is None else f"{self.host.prefix}*"

    @property
    def path_key(self) -> str | None:
        """What a key continues with after the host; None when the path has wildcards elsewhere than at its end."""
        if self.path is None:
            return ""
        return f"{self.path.literal}?" if self.path.literal is not None else self.path.prefix


def entries(rule: Rule) -> list[Entry] | None:
    """The rule as entries, one of which has to match; None when it asks for more than host and path patterns."""
    hosts: Iterable[Wildcard | None] = (None,)
    paths: Iterable[Wildcard | None] = (None,)
    for condition in rule.conditions:
        if condition.kind not in ("host_header", "path_pattern") or condition.config.regex_values:
            return None
        if condition.host_header:
            hosts = [Wildcard.parse(value.lower()) for value in condition.host_header.values]
        elif condition.path_pattern:
            paths = [Wildcard.parse(value) for value in condition.path_pattern.values]
    found = (Entry(host, path, rule.priority) for host, path in product(hosts, paths))
    # The path ends where a ? is, so what asks for one in it matches nothing.
    return [entry for entry in found if "?" not in "".join(p for p in _parts(entry.path) if isinstance(p, str))]


def _parts(pattern: Wildcard | None) -> tuple[object, ...]:
    return pattern.parts if pattern else ()


@dataclass
class Index:
    """The maps of a listener. `hosts` and `prefixes` name the classes of hosts, `keys` the rules."""

    hosts: set[str] = field(default_factory=set)
    prefixes: dict[str, str] = field(default_factory=dict)
    labels: set[int] = field(default_factory=set)
    keys: dict[str, int] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)
    anywhere: bool = False

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Index:
        """The index of those rules that can be in one."""
        index, plain = cls(), list[Entry]()
        for rule in rules:
            for entry in entries(rule) or ():
                if entry.host_class is None or entry.path_key is None:
                    index.patterns.append(Pattern(entry.host, entry.path, entry.priority))
                else:
                    plain.append(entry)
        index._classify(plain)
        return index

    def _classify(self, plain: list[Entry]) -> None:
        by_class: dict[str, list[Entry]] = {}
        for entry in plain:
            by_class.setdefault(entry.host_class or "", []).append(entry)
            self.labels |= {entry.labels} - {0}
        for name, own in by_class.items():
            if name == "":
                self.anywhere = True
            elif name.endswith("*"):
                self.prefixes[name[:-1]] = name
            else:
                self.hosts.add(name)
            wider = [other for wide in _wider(name) for other in by_class.get(wide, ())]
            self.keys.update((f"{name}|{key}", priority) for key, priority in _best([*own, *wider]))


def _wider(name: str) -> Iterator[str]:
    """The classes that hold all hosts of this one: `*.b.c` and `*.c` for `a.b.c`, `ap*` and `a*` for `api.*`."""
    if name.endswith("*"):
        yield from (f"{name[:end]}*" for end in range(len(name) - 2, -1, -1))
        return
    rest = name.removeprefix("*.").partition(".")[2]
    while rest:
        yield f"*.{rest}"
        rest = rest.partition(".")[2]


def _best(found: list[Entry]) -> Iterator[tuple[str, int]]:
    """For each path key, the lowest priority of all that match what it matches."""
    lowest: dict[str, int] = {}
    for entry in found:
        key = entry.path_key or ""
        lowest[key] = min(entry.priority, lowest.get(key, DEFAULT))
    for key in lowest:
        yield key, min(lowest.get(key[:end], DEFAULT) for end in range(len(key) + 1))
