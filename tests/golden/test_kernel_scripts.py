"""The scripts that the kernel plane gives to nft."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

from pipeline.balancer.kernel.flow import MARK_PREFIX, FlowGroup, FlowListener, FlowState, FlowTarget
from pipeline.balancer.kernel.ruleset import ruleset
from pipeline.balancer.kernel.script import Existing, change, replacement
from tests.golden.golden_file import Golden

_TABLE = "penstock_0123456789ab"
_IDLE = timedelta(seconds=350)


def _targets(*numbers: int) -> tuple[FlowTarget, ...]:
    return tuple(
        FlowTarget(f"web-{number}", ip_address(f"172.20.0.{number}"), 8080, MARK_PREFIX + number) for number in numbers
    )


def _state(*numbers: int, draining: tuple[int, ...] = ()) -> FlowState:
    """Return a state with weights, both families and protocols, stickiness and a group without a target."""
    dns = FlowTarget("dns-1", ip_address("fd00::35"), 53, MARK_PREFIX + 100)
    weighted = (FlowGroup(80, _targets(*numbers)), FlowGroup(20, _targets(9)), FlowGroup(0, _targets(8)))
    return FlowState(
        (
            FlowListener(ip_address("192.0.2.1"), "tcp", 80, _IDLE, "flow", weighted),
            FlowListener(ip_address("192.0.2.1"), "tcp", 443, _IDLE, "source", (FlowGroup(1, _targets(*numbers)),)),
            FlowListener(ip_address("192.0.2.1"), "udp", 514, timedelta(minutes=2), "flow", (FlowGroup(1, ()),)),
            FlowListener(ip_address("2001:db8::1"), "udp", 53, timedelta(minutes=2), "flow", (FlowGroup(1, (dns,)),)),
        ),
        _targets(*draining),
    )


def test_a_table_is_made_by_the_same_script(golden: Golden) -> None:
    """The script for a table that does not exist yet."""
    golden("kernel/table.nft", replacement(_TABLE, ruleset(_state(1, 2, 3)), Existing()))


def test_changes_are_made_by_the_same_scripts(golden: Golden) -> None:
    """The scripts that drain a target, forget it, and forget everything."""
    before, scripts = ruleset(_state(1, 2, 3)), list[str]()
    for wanted in (_state(1, 3, 4, draining=(2,)), _state(1, 3, 4), FlowState(), FlowState()):
        after = ruleset(wanted).after(before.endpoints, before.retired)
        scripts.append(change(_TABLE, before, after))
        before = after
    golden("kernel/changes.nft", "\n".join(scripts))
