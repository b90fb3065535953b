"""Scripts of the kernel plane, run on a model of a table that refuses what the kernel refuses."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.kernel.flow import FlowState
from pipeline.balancer.kernel.ruleset import HOOKS, SETS, Endpoint, Ruleset, ruleset
from pipeline.balancer.kernel.script import Existing, change, read_counters, recreation, removal, replacement
from tests.unit.balancer.kernel_states import states

TABLE = "penstock_test"
_COMMAND = re.compile(rf"(\w+) ([\w ]+) inet {TABLE} ?(.*)")
_NAMED = re.compile(r"(?:goto|jump|set \"|@)\s?(\w[\w.]*)")


class Table:
    """A table in the kernel: what its commands make of it. A command that the kernel would refuse fails."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.sets: dict[str, dict[int, str]] = {}
        self.timeouts: set[str] = set()
        self.exists = False

    def run(self, script: str) -> None:
        """Run the commands of a script."""
        for line in script.splitlines():
            verb, kind, rest = _COMMAND.fullmatch(line).groups()  # type: ignore[union-attr]
            getattr(self, f"{verb}_{kind}".replace(" ", "_"))(rest)

    def add_table(self, _: str) -> None:
        self.exists = True

    def delete_table(self, _: str) -> None:
        assert self.exists
        self.__init__()  # type: ignore[misc]

    def flush_table(self, _: str) -> None:
        for rules in self.chains.values():
            rules.clear()

    def add_map(self, rest: str) -> None:
        self.sets.setdefault(rest.split()[0], {})

    def add_set(self, rest: str) -> None:
        self.add_map(rest)

    def add_chain(self, rest: str) -> None:
        assert self.exists
        self.chains.setdefault(rest.split()[0], [])

    def flush_chain(self, rest: str) -> None:
        self.chains[rest].clear()

    def delete_chain(self, rest: str) -> None:
        assert not any(rest in _NAMED.findall(rule) for rules in self.chains.values() for rule in rules), rest
        del self.chains[rest]

    def add_rule(self, rest: str) -> None:
        name, _, rule = rest.partition(" ")
        known = self.chains.keys() | self.sets.keys() | self.timeouts
        assert set(_NAMED.findall(rule)) <= known
        self.chains[name].append(rule)

    def add_ct_timeout(self, rest: str) -> None:
        self.timeouts.add(rest.split()[0])

    def add_element(self, rest: str) -> None:
        name, mark, value = re.fullmatch(r"(\w+) \{ (\w+)(?: : (.+))? \}", rest).groups("")  # type: ignore[union-attr]
        assert bool(value) == name.startswith("targets_")
        assert self.sets[name].setdefault(int(mark, 16), value) == value

    def delete_element(self, rest: str) -> None:
        name, mark = re.fullmatch(r"(\w+) \{ (\w+) \}", rest).groups()  # type: ignore[union-attr]
        del self.sets[name][int(mark, 16)]

    def check(self, content: Ruleset) -> None:
        """Assert that the table has this content and nothing else, besides time-outs."""
        hooks = {name: [hook.rule] for name, hook in HOOKS.items()}
        assert self.chains == {**{name: list(rules) for name, rules in content.chains.items()}, **hooks}
        assert self.sets.keys() == SETS.keys()
        assert self.sets["traffic"].keys() == content.endpoints.keys()
        assert self.existing.endpoints == content.endpoints
        assert self.timeouts >= content.timeouts.keys()

    @property
    def existing(self) -> Existing:
        """What a listing would show."""
        maps = ("targets_ip", "targets_ip6")
        endpoints = {mark: Endpoint(name, place) for name in maps for mark, place in self.sets[name].items()}
        chains = dict.fromkeys(self.chains.keys() - HOOKS.keys(), ())
        return Existing(chains, endpoints=endpoints, counted=self.sets["traffic"].keys())


@given(st.lists(states, min_size=2, max_size=4))
def test_changes_lead_to_each_content(wanted: list[FlowState]) -> None:
    """From any content, a change leads to any other, and commands come in an order that the kernel accepts."""
    table, before = Table(), ruleset(wanted[0])
    table.run(replacement(TABLE, before, Existing()))
    table.check(before)
    for each in wanted[1:]:
        after = ruleset(each).after(before.endpoints, before.retired)
        table.run(change(TABLE, before, after))
        table.check(after)
        before = after
    assert change(TABLE, before, before) == ""


@given(states, states)
def test_replacement_leads_from_anything(first: FlowState, second: FlowState) -> None:
    """Whatever a table has, a replacement gives it the wanted content, and does not remove the table or a hook."""
    table = Table()
    table.run(replacement(TABLE, ruleset(first), Existing()))
    wanted = ruleset(second).after(table.existing.endpoints)
    table.run(f"add chain inet {TABLE} theirs {{ type filter hook input priority 0; }}")
    table.run(f"add rule inet {TABLE} theirs jump refused")
    script = replacement(TABLE, wanted, table.existing)
    table.run(script)
    table.check(wanted)
    assert "delete table" not in script
    assert not any(f"delete chain inet {TABLE} {name}\n" in script for name in HOOKS)


@given(states, states)
def test_recreation_and_removal(first: FlowState, second: FlowState) -> None:
    """A recreation leaves nothing of the previous table, and a removal nothing at all."""
    table, wanted = Table(), ruleset(second)
    table.run(replacement(TABLE, ruleset(first), Existing()))
    table.run(recreation(TABLE, wanted))
    table.check(wanted)
    table.run(removal(TABLE))
    assert not table.exists
    table.run(removal(TABLE))


LISTING = """table inet penstock_test {
	ct timeout tcp_350_ip {
		protocol tcp
	}

	set traffic {
		type mark
		counter
		elements = { 0x4e4c0001 counter packets 7 bytes 700, 0x4e4c0010 counter packets 0 bytes 0 }
	}

	map targets_ip {
		type mark : ipv4_addr . inet_service
		counter
		elements = { 0x4e4c0001 counter packets 3 bytes 180 : 10.1.0.1 . 80,
				0x4e4c0002 counter packets 0 bytes 0 : 10.1.0.2 . 8080 }
	}

	map targets_ip6 {
		type mark : ipv6_addr . inet_service
		counter
		elements = { 0x4e4c0010 counter packets 1 bytes 80 : fd00::1 . 53 }
	}

	chain prerouting {
		type nat hook prerouting priority dstnat - 5; policy accept;
	}

	chain dispatch {
		ip daddr 10.0.0.1 tcp dport 80 goto listener_tcp_80_10.0.0.1
	}
}
"""


def test_a_listing_is_read() -> None:
    """The chains besides the hooks and the places of targets are found in what nft prints, and so are the counters."""
    assert Existing.from_listing(LISTING) == Existing(
        chains={"dispatch": ()},
        endpoints={
            0x4E4C0001: Endpoint("targets_ip", "10.1.0.1 . 80"),
            0x4E4C0002: Endpoint("targets_ip", "10.1.0.2 . 8080"),
            0x4E4C0010: Endpoint("targets_ip6", "fd00::1 . 53"),
        },
        counted={0x4E4C0001, 0x4E4C0010},
    )
    assert read_counters(LISTING) == (
        {0x4E4C0001: 3, 0x4E4C0002: 0, 0x4E4C0010: 1},
        {0x4E4C0001: 700, 0x4E4C0010: 0},
    )
