"""The rules of the kernel plane, walked as a packet would walk them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.kernel.flow import (
    LAST_MARK,
    REFUSED_MARK,
    FlowGroup,
    FlowListener,
    FlowState,
    FlowTarget,
)
from pipeline.balancer.kernel.ruleset import HOOKS, Ruleset, ruleset
from tests.unit.balancer.kernel_states import states, target

_CHOICE = re.compile(r"(?:ct mark set )?jhash (.+) mod (\d+) seed (\S+) v?map \{ (.*) \}(?: goto (\S+))?")
_ENTRY = re.compile(r"(\d+) : (?:goto )?([\w.]+)")
_GOTO = re.compile(r"\bgoto (\w[\w.]*)")


def shares(content: Ruleset, listener: FlowListener) -> dict[int, Fraction]:
    """Return the share of each mark in the flows of a listener, with the mark 0 for those that are refused."""
    entry = f"daddr {listener.address} {listener.protocol} dport {listener.port} "
    (rule,) = [rule for rule in content.chains["dispatch"] if entry in rule]
    found: Counter[int] = Counter()
    for mark, share in _walk(content, rule.rpartition(" ")[2]):
        found[mark] += share  # type: ignore[assignment]
    return dict(found)  # type: ignore[arg-type]


def _walk(content: Ruleset, chain: str) -> Iterator[tuple[int, Fraction]]:
    if chain == "refuse":
        yield REFUSED_MARK, Fraction(1)
        return
    rule = content.chains[chain][0]
    if hashed := _CHOICE.fullmatch(rule):
        _, buckets, _, entries, _ = hashed.groups()
        pairs = _ENTRY.findall(entries)
        assert [int(bucket) for bucket, _ in pairs] == list(range(int(buckets)))
        for _, chosen in pairs:
            found = [(int(chosen, 16), Fraction(1))] if chosen.startswith("0x") else _walk(content, chosen)
            yield from ((mark, share / int(buckets)) for mark, share in found)
    elif rule.startswith("ct mark set "):
        yield int(rule.split()[3], 16), Fraction(1)
    else:
        yield from _walk(content, rule.removeprefix("goto "))


def wanted_shares(listener: FlowListener) -> dict[int, Fraction]:
    """Return the shares that a listener should have."""
    total = sum(group.weight for group in listener.groups)
    found: dict[int, Fraction] = {} if total else {REFUSED_MARK: Fraction(1)}
    for group in listener.groups:
        for mark in [each.mark for each in group.targets] or [REFUSED_MARK]:
            if group.weight:
                share = Fraction(group.weight, total * max(1, len(group.targets)))
                found[mark] = found.get(mark, Fraction(0)) + share
    return found


@given(states)
def test_shares_are_those_of_the_weights(wanted: FlowState) -> None:
    """Each bucket of each listener leads to a wanted target, and the shares are exactly those of the weights."""
    content = ruleset(wanted)
    for listener in wanted.listeners:
        assert shares(content, listener) == wanted_shares(listener)


@given(st.integers(1, 999), st.integers(1, 999))
def test_a_source_moves_once_while_a_share_grows(one: int, other: int) -> None:
    """With weights that add up to 1000, the buckets of a group that grows include those that it had."""

    def buckets(weight: int) -> set[int]:
        groups = (FlowGroup(1000 - weight, (target(1),)), FlowGroup(weight, (target(2),)))
        address = ip_address("192.0.2.1")
        listener = FlowListener(address, "tcp", 80, timedelta(seconds=10), "source", groups)
        found = [
            _ENTRY.findall(hashed[4])
            for rules in ruleset(FlowState((listener,))).chains.values()
            if (hashed := _CHOICE.fullmatch(rules[0]))
        ]
        assert [len(entries) for entries in found] == [1000]
        return {int(bucket) for bucket, chosen in found[0] if chosen.endswith("_group_1")}

    less, more = sorted((one, other))
    assert len(buckets(less)) == less
    assert buckets(less) <= buckets(more)


@given(states)
def test_every_mark_has_a_place(wanted: FlowState) -> None:
    """The maps have exactly the wanted targets, and each with its own address and port."""
    targets = {each.mark: each for each in wanted.targets()}
    endpoints = ruleset(wanted).endpoints
    assert {mark: each.place for mark, each in endpoints.items()} == {
        mark: f"{each.address} . {each.port}" for mark, each in targets.items()
    }
    assert all(each.map == f"targets_ip{'6' if ':' in each.place else ''}" for each in endpoints.values())


@given(states)
def test_nothing_else_is_in_the_table(wanted: FlowState) -> None:
    """Each chain is reached from a hook, each chain that a rule names exists, and each time-out is used."""
    chains = ruleset(wanted).chains
    reached, waiting = set[str](), ["dispatch", "refused", "refuse"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [found for rule in chains[name] for found in _GOTO.findall(rule)]
    # The chain of an idle time is there for every listener, also for one that refuses all flows.
    assert reached | ruleset(wanted).timeouts.keys() == chains.keys()
    jumps = {hook.rule.rpartition("jump ")[2] for hook in HOOKS.values() if "jump " in hook.rule}
    assert jumps == {"dispatch", "refused"}
    used = {name for rules in chains.values() for rule in rules for name in re.findall(r'ct timeout set "(\w+)"', rule)}
    assert used == ruleset(wanted).timeouts.keys()


@given(states)
def test_a_packet_never_depends_on_a_map_alone(wanted: FlowState) -> None:
    """A choice by a map is followed by one without, to a target if there is one: a map may be empty for an instant."""
    content = ruleset(wanted)
    for listener in wanted.listeners:
        name = f"listener_{listener.protocol}_{listener.port}_{str(listener.address).replace(':', '_')}"
        for chain in [name, *(each for each in content.chains if each.startswith(f"{name}_group_"))]:
            rules = content.chains[chain]
            assert "map" not in rules[-1]
            assert len(rules) == 1 + ("map" in rules[0])
            has_target = any(group.targets for group in listener.groups if group.weight)
            assert len(rules) == 1 or rules[-1] != "goto refuse" or not has_target


@given(states, states)
def test_a_retired_target_stays_for_one_change(first: FlowState, second: FlowState) -> None:
    """A target that is not wanted any more keeps its place in the next content, and not in the one after it."""
    before, after = ruleset(first), ruleset(second)
    middle = after.after(before.endpoints, before.retired)
    assert middle.endpoints == {**before.endpoints, **after.endpoints}
    assert middle.retired == before.endpoints.keys() - after.endpoints.keys()
    assert middle.digest == after.digest
    assert after.after(middle.endpoints, middle.retired).endpoints == after.endpoints


@given(states, states)
def test_digest_tells_contents_apart(first: FlowState, second: FlowState) -> None:
    """The digests of two contents are equal if the contents are, and only then."""
    one, other = ruleset(first), ruleset(second)
    assert (one.digest == other.digest) == (one == other)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: FlowTarget("t", ip_address("10.0.0.1"), 80, REFUSED_MARK), "target t: mark 0x4e4c0000 is not in"),
        (lambda: FlowTarget("t", ip_address("10.0.0.1"), 80, LAST_MARK + 1), "target t: mark 0x4e4d0000 is not in"),
        (lambda: FlowTarget("t", ip_address("10.0.0.1"), 0, LAST_MARK), "target t: port 0 is not in 1-65535"),
        (lambda: FlowGroup(1001, ()), "weight 1001 is not in 0-1000"),
        (lambda: listener("127.0.0.1"), "tcp://127.0.0.1:80: needs a unicast address"),
        (lambda: listener("fe80::1"), r"tcp://\[fe80::1\]:80: needs a unicast address"),
        (lambda: listener(port=65536), "tcp://10.0.0.1:65536: the port is not in 1-65535"),
        (lambda: listener(idle=timedelta(milliseconds=1500)), "is not a number of whole seconds from 1"),
        (lambda: listener(groups=(FlowGroup(1, (target(0, 6),)),)), "tcp://10.0.0.1:80: target t0 has an IPv6 address"),
        (lambda: FlowState((listener(), listener())), "tcp://10.0.0.1:80: two listeners have this address"),
        (
            lambda: FlowState((), (target(0), FlowTarget("other", ip_address("10.0.0.9"), 1, target(0).mark))),
            "targets t0 and other: both have the mark 0x4e4c0001",
        ),
    ],
)
def test_impossible_states_are_refused(mistake: st.SearchStrategy[object], message: str) -> None:
    """A state that the kernel could not carry as meant is refused, with the place and the reason."""
    with pytest.raises(ValueError, match=message):
        mistake()  # type: ignore[operator]


def listener(
    address: str = "10.0.0.1",
    port: int = 80,
    idle: timedelta = timedelta(seconds=350),
    groups: tuple[FlowGroup, ...] = (),
) -> FlowListener:
    """A listener of TCP."""
    return FlowListener(ip_address(address), "tcp", port, idle, "flow", groups)
