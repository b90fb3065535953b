"""Generated wanted states of the kernel plane."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import strategies as st

from pipeline.balancer.kernel.flow import MARK_PREFIX, FlowGroup, FlowListener, FlowState, FlowTarget


def target(number: int, version: int = 4) -> FlowTarget:
    """A target of a pool in which each has its own mark."""
    base = IPv4Address("10.1.0.1") if version == 4 else IPv6Address("fd00::1")
    return FlowTarget(f"t{number}", base + number, 8080, MARK_PREFIX + 1 + number + (100 if version == 6 else 0))


@st.composite
def listeners(draw: st.DrawFn) -> FlowListener:
    """A listener with up to three groups of up to five targets."""
    version = draw(st.sampled_from([4, 6]))
    numbers = st.lists(st.integers(0, 7), max_size=5, unique=True)
    groups = draw(st.lists(st.tuples(st.integers(0, 9), numbers), max_size=3))
    return FlowListener(
        ip_address("10.0.0.1") if version == 4 else ip_address("fd00:1::1"),
        draw(st.sampled_from(["tcp", "udp"])),
        draw(st.sampled_from([80, 443, 5432])),
        timedelta(seconds=draw(st.sampled_from([60, 350]))),
        draw(st.sampled_from(["flow", "source"])),
        tuple(FlowGroup(weight, tuple(target(number, version) for number in chosen)) for weight, chosen in groups),
    )


states = st.builds(
    FlowState,
    st.lists(listeners(), max_size=4, unique_by=lambda each: (each.address, each.protocol, each.port)).map(tuple),
    st.lists(st.integers(8, 11).map(target), max_size=2).map(tuple),
)
