"""The content of our table: what a wanted state needs in the kernel, as chains and rules of nft. Pure.

The first packet of a flow takes this way. `dispatch` finds its listener by address, protocol and port. The chain of the
listener chooses a group by weight, and the chain of the group a target, both by a hash. The flow gets the mark of the
target. A chain for the idle time replaces its destination by that of the mark. Conntrack translates all later packets,
which never see these chains.

A change of rules is atomic, but one packet may see both sides of it. It goes on through the chains that it began with,
and looks into maps as they are at that moment. The map of a replaced rule is empty then. So each choice by a map is
followed by one without, and a target stays in the maps of the next content (`Ruleset.after`).

Verdict maps are anonymous, because nft 1.0.6 crashes with some named ones at each listing of the machine's ruleset.
The hashes have a fixed seed. Without one, each rewritten rule would have another, and sources would change targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from hashlib import blake2b
from math import gcd
from typing import NamedTuple

from pipeline.balancer.kernel.flow import (
    HIDDEN_BIT,
    MARK_MASK,
    MARK_PREFIX,
    MAX_WEIGHT,
    REFUSED_MARK,
    Address,
    FlowGroup,
    FlowListener,
    FlowState,
)

# The choice of a target must not depend on that of its group, so each has its own seed.
_GROUP_SEED, _TARGET_SEED = 0x6E4C, 0x5EED
_DISPATCH, _REFUSE, _REFUSED = "dispatch", "refuse", "refused"
# The bridges that Docker makes. Its rules drop what goes from one to another.
# Also true of what the machine itself sends, which has no such device.
_NOT_FROM_CONTAINERS = 'iifname != "docker0" iifname != "br-*" '
# A connection that the kernel does not know may be HAProxy's, if the machine tracked none until now. Otherwise it was
# idle too long or was cut, and is reset, as by ELB.
_STARTS = " tcp flags & (syn | ack) == syn"
# Seconds in which the kernel remembers a connection that is over, for packets that are late.
_TIME_WAIT = 15
_HIDE = f"ct mark & {MARK_MASK | HIDDEN_BIT:#x} == {MARK_PREFIX | HIDDEN_BIT:#x} masquerade"
_COUNT = "ct status dnat ct direction {} ct mark @traffic"

# The sets and maps that each table has, by the marks of targets. The kernel counts per element: new flows in the maps,
# packets of both directions in the set. Counters of their own would cost more: nft reads them all before each change.
SETS = {
    "traffic": ("set", "type mark"),
    "targets_ip": ("map", "type mark : ipv4_addr . inet_service"),
    "targets_ip6": ("map", "type mark : ipv6_addr . inet_service"),
}


class Hook(NamedTuple):
    """A chain through which the kernel sends packets: its place and its rule."""

    place: str
    rule: str


# The hooks that each table has.
# Docker translates at priority -100. Ours comes first, so that a published port of the same address takes no flow.
# A flow that is refused goes to the machine itself or, if its address is not the machine's, is forwarded.
HOOKS = {
    "prerouting": Hook("nat hook prerouting priority -105", f"jump {_DISPATCH}"),
    "output": Hook("nat hook output priority -105", f"jump {_DISPATCH}"),
    # Before Docker's, which hides only what leaves its networks.
    "postrouting": Hook("nat hook postrouting priority 95", _HIDE),
    "input": Hook("filter hook input priority -5", f"ct mark {REFUSED_MARK:#x} jump {_REFUSED}"),
    "forward": Hook("filter hook forward priority -5", f"ct mark {REFUSED_MARK:#x} jump {_REFUSED}"),
    "sent": Hook("filter hook postrouting priority 0", _COUNT.format("original")),
    "received": Hook("filter hook prerouting priority 0", _COUNT.format("reply")),
}


class Endpoint(NamedTuple):
    """The address and the port of a target, and the map for its family."""

    map: str
    place: str


@dataclass(frozen=True)
class Ruleset:
    """The content of a table, besides the parts that each table has.

    `chains`: the rules of each chain. `timeouts`: the definition of each. `endpoints`: of the targets, by mark.
    `retired`: the targets among them that are not wanted any more.
    """

    chains: Mapping[str, tuple[str, ...]]
    timeouts: Mapping[str, str]
    endpoints: Mapping[int, Endpoint]
    retired: frozenset[int] = frozenset()

    @cached_property
    def digest(self) -> str:
        """A text that is equal only for contents that are wanted of equal states."""
        wanted = ((mark, place) for mark, place in self.endpoints.items() if mark not in self.retired)
        places = (f"{mark:x} {each.map} {each.place}" for mark, each in wanted)
        parts = (sorted(self.chains.items()), sorted(self.timeouts.items()), sorted(places))
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def after(self, previous: Mapping[int, Endpoint], retired: Set[int] = frozenset()) -> Ruleset:
        """Return this content with the targets wanted until now, for packets that have their marks already.

        `retired`: those of the previous targets that were not wanted any more.
        """
        gone = previous.keys() - self.endpoints.keys() - retired
        kept = {mark: previous[mark] for mark in gone}
        return replace(self, endpoints={**kept, **self.endpoints}, retired=frozenset(gone))


def ruleset(wanted: FlowState) -> Ruleset:
    """Return the content of the table that carries a wanted state."""
    chains = {_DISPATCH: _dispatch(wanted.listeners), **_refusing_chains()}
    timeouts = dict[str, str]()
    for listener in wanted.listeners:
        name = _timeout_name(listener)
        timeouts[name] = _timeout(listener)
        chains[name] = _translation(listener)
        chains.update(_listener_chains(listener))
    endpoints = {target.mark: endpoint_of(str(target.address), target.port) for target in wanted.targets()}
    return Ruleset(chains, timeouts, endpoints)


def endpoint_of(host: str, port: int | str) -> Endpoint:
    """Return an address and a port as an element of a map."""
    return Endpoint("targets_ip6" if ":" in host else "targets_ip", f"{host} . {port}")


def _dispatch(listeners: Iterable[FlowListener]) -> tuple[str, ...]:
    # One rule for each, because a packet that finds no listener in a map would go to the machine itself.
    # Those of single addresses first: another one of the port may be for all that are left.
    ordered = sorted(listeners, key=lambda each: each.address.is_unspecified)
    return tuple(f"{_destination(each)} goto {_listener_name(each)}" for each in ordered)


def _destination(listener: FlowListener) -> str:
    family, source = _family(listener.address), _NOT_FROM_CONTAINERS if listener.skips_containers else ""
    port = f"{listener.protocol} dport {listener.port}{_STARTS if listener.protocol == 'tcp' else ''}"
    if not listener.address.is_unspecified:
        return f"{source}{family} daddr {listener.address} {port}"
    loopback = "127.0.0.0/8" if family == "ip" else "::1"
    return f"{source}{family} daddr != {loopback} {port} fib daddr type local"


def _refusing_chains() -> dict[str, tuple[str, ...]]:
    # A nat chain can only drop, and a client would wait. So it marks, and a filter chain rejects. A TCP flow that has
    # been cut while no target is left ends here too, and its client gets the reset that it would get from a target.
    return {
        _REFUSE: (f"ct mark set {REFUSED_MARK:#x} accept",),
        _REFUSED: ("meta l4proto tcp reject with tcp reset", "reject"),
    }


def _translation(listener: FlowListener) -> tuple[str, ...]:
    family = _family(listener.address)
    return (
        f'meta l4proto {listener.protocol} ct timeout set "{_timeout_name(listener)}"',
        f"meta l4proto {listener.protocol} dnat {family} to ct mark map @targets_{family}",
        # Only for a target that another program took out of the map. The client repeats the packet.
        "drop",
    )


def _listener_chains(listener: FlowListener) -> dict[str, tuple[str, ...]]:
    name = _listener_name(listener)
    used = {f"{name}_group_{number}": each for number, each in enumerate(listener.groups) if each.weight}
    chains = {name: _group_choice(listener, used)}
    chains.update((chain, _target_choice(listener, group)) for chain, group in used.items())
    return chains


def _group_choice(listener: FlowListener, groups: Mapping[str, FlowGroup]) -> tuple[str, ...]:
    """Return the rules that send each flow to the chain of a group. Groups have buckets by their weights."""
    if len(groups) < 2:
        return (f"goto {next(iter(groups), _REFUSE)}",)
    # If the map does not answer, a group that does not refuse.
    fallback = f"goto {next((name for name, group in groups.items() if group.targets), _REFUSE)}"
    weights = [group.weight for group in groups.values()]
    # While a share grows from 0 to all, the number of buckets stays, so a source that has moved does not move back.
    unit = 1 if listener.stickiness == "source" and sum(weights) == MAX_WEIGHT else gcd(*weights)
    buckets = [f"goto {name}" for name, group in groups.items() for _ in range(group.weight // unit)]
    return (f"{_hash(listener, _GROUP_SEED, len(buckets))} vmap {_buckets(buckets)}", fallback)


def _target_choice(listener: FlowListener, group: FlowGroup) -> tuple[str, ...]:
    """Return the rules that give each flow the mark of a target. Each target has one bucket."""
    marks = [f"{target.mark:#x}" for target in group.targets]
    if not marks:
        return (f"goto {_REFUSE}",)
    choices = [marks[0]]
    if len(marks) > 1:
        choices.insert(0, f"{_hash(listener, _TARGET_SEED, len(marks))} map {_buckets(marks)}")
    return tuple(f"ct mark set {choice} goto {_timeout_name(listener)}" for choice in choices)


def _hash(listener: FlowListener, seed: int, buckets: int) -> str:
    family = _family(listener.address)
    fields = f"{family} saddr"
    if listener.stickiness == "flow":
        fields += f" . th sport . {family} daddr . th dport"
    return f"jhash {fields} mod {buckets} seed {seed:#x}"


def _buckets(values: Iterable[str]) -> str:
    return f"{{ {', '.join(f'{number} : {value}' for number, value in enumerate(values))} }}"


def _timeout(listener: FlowListener) -> str:
    seconds = _seconds(listener.idle)
    # The states of a TCP connection that is opened or closed keep the kernel's own, shorter times, with one exception:
    # connections that are over stay in the kernel's table, and would fill it at two thousand new ones a second.
    tcp = f"established : {seconds}, time_wait : {_TIME_WAIT}"
    policy = tcp if listener.protocol == "tcp" else f"unreplied : {seconds}, replied : {seconds}"
    return f"protocol {listener.protocol}; l3proto {_family(listener.address)}; policy = {{ {policy} }};"


def _timeout_name(listener: FlowListener) -> str:
    # A definition cannot be replaced while flows use it. So another one needs another name.
    after = f"_{_TIME_WAIT}" if listener.protocol == "tcp" else ""
    return f"{listener.protocol}_{_seconds(listener.idle)}{after}_{_family(listener.address)}"


def _listener_name(listener: FlowListener) -> str:
    # A chain's name may not contain a colon. An address contains no underscore, so two never get one name.
    return f"listener_{listener.protocol}_{listener.port}_{str(listener.address).replace(':', '_')}"


def _family(address: Address) -> str:
    return "ip6" if address.version == 6 else "ip"


def _seconds(idle: timedelta) -> int:
    return int(idle.total_seconds())
