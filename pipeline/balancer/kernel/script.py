"""The scripts that bring a table to its wanted content. The kernel carries out each as a whole, or not at all. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from pipeline.balancer.kernel.ruleset import HOOKS, SETS, Endpoint, Ruleset, endpoint_of

_CHAIN = re.compile(r"^\tchain (\S+) \{", re.MULTILINE)
_ELEMENT = re.compile(r"0x([0-9a-f]+) counter(?: packets (\d+) bytes (\d+))?(?: : ([0-9a-f.:]+) \. (\d+))?")


@dataclass(frozen=True)
class Existing:
    """What a table has: its chains besides the hooks, time-outs, and targets with a place and with a count of bytes."""

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timeouts: Set[str] = frozenset()
    endpoints: Mapping[int, Endpoint] = field(default_factory=dict)
    counted: Set[int] = frozenset()

    @classmethod
    def of(cls, content: Ruleset) -> Existing:
        """Return what a table with this content has."""
        return cls(content.chains, content.timeouts.keys(), content.endpoints, content.endpoints.keys())

    @classmethod
    def from_listing(cls, listing: str) -> Existing:
        """Read what `nft list table` prints. The rules are left out, and so are time-outs."""
        elements = [(int(mark, 16), host, port) for mark, _, _, host, port in _ELEMENT.findall(listing)]
        return cls(
            chains=dict.fromkeys(set(_CHAIN.findall(listing)) - HOOKS.keys(), ()),
            endpoints={mark: endpoint_of(host, port) for mark, host, port in elements if host},
            counted={mark for mark, host, _ in elements if not host},
        )


def read_counters(listing: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return the new flows and the bytes of each target by mark, from what `nft list table` prints."""
    found = _ELEMENT.findall(listing)
    flows = {int(mark, 16): int(packets) for mark, packets, _, host, _ in found if host}
    return flows, {int(mark, 16): int(octets) for mark, _, octets, host, _ in found if not host}


def replacement(table: str, wanted: Ruleset, existing: Existing) -> str:
    """Return the script that gives a table this content, whatever it has.

    The table, its hooks and its time-outs stay for the sake of open flows. Conntrack is switched off when the last nat
    chain of the machine is removed, and open flows are then reset. Without its time-out object, a flow would have the
    kernel's idle time of five days. Counters of wanted targets continue.
    """
    return _script(
        f"add table inet {table}",
        *(f"add {kind} inet {table} {name} {{ {types}; counter; }}" for name, (kind, types) in SETS.items()),
        *(f"add chain inet {table} {name} {{ type {hook.place}; }}" for name, hook in HOOKS.items()),
        f"flush table inet {table}",
        *_changes(table, existing, wanted),
        *(f"add rule inet {table} {name} {hook.rule}" for name, hook in HOOKS.items()),
    )


def recreation(table: str, wanted: Ruleset) -> str:
    """Return the script that makes the table anew. For a table in which another program made what cannot stay."""
    return removal(table) + replacement(table, wanted, Existing())


def change(table: str, before: Ruleset, after: Ruleset) -> str:
    """Return the script that changes a table from one content to another. It is empty if nothing differs."""
    return _script(*_changes(table, Existing.of(before), after))


def removal(table: str) -> str:
    """Return the script that removes a table, if it exists. See `replacement` for what open flows lose."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def _changes(table: str, before: Existing, after: Ruleset) -> Iterator[str]:
    # A time-out is never removed, for the flows that have it. There are few: one for each protocol and idle time.
    for name in sorted(after.timeouts.keys() - before.timeouts):
        yield f"add ct timeout inet {table} {name} {{ {after.timeouts[name]} }}"
    yield from _target_changes(table, before, after.endpoints)
    yield from _chain_changes(table, before.chains, after.chains)


def _target_changes(table: str, before: Existing, after: Mapping[int, Endpoint]) -> Iterator[str]:
    gone, new = before.counted - after.keys(), after.keys() - before.counted
    yield from (f"delete element inet {table} traffic {{ {mark:#x} }}" for mark in sorted(gone))
    yield from (f"add element inet {table} traffic {{ {mark:#x} }}" for mark in sorted(new))
    # Another place for a mark is a removal and an addition.
    for mark, endpoint in sorted(before.endpoints.items() - after.items()):
        yield f"delete element inet {table} {endpoint.map} {{ {mark:#x} }}"
    for mark, endpoint in sorted(after.items() - before.endpoints.items()):
        yield f"add element inet {table} {endpoint.map} {{ {mark:#x} : {endpoint.place} }}"


def _chain_changes(
    table: str, before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    added, gone = after.keys() - before.keys(), before.keys() - after.keys()
    changed = {name: rules for name, rules in after.items() if before.get(name) != rules}
    # A chain can be named in a rule once it exists, and removed once no rule names it.
    yield from (f"add chain inet {table} {name}" for name in sorted(added))
    yield from (f"flush chain inet {table} {name}" for name in sorted((changed.keys() - added) | gone))
    yield from (f"add rule inet {table} {name} {rule}" for name, rules in changed.items() for rule in rules)
    yield from (f"delete chain inet {table} {name}" for name in sorted(gone))


def _script(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
