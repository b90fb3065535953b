"""Whether this machine lets the kernel plane carry flows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pipeline.balancer.kernel.faults import denied
from pipeline.balancer.kernel.nft import Nft, NftError
from pipeline.balancer.kernel.others import base_chains
from pipeline.base.errors import BalancerFault
from pipeline.base.small_file import read_small_file

_NET_ADMIN = 1 << 12
_ACCEPTS = "ct status dnat accept"


def kernel_fault() -> BalancerFault | None:
    """Return what this machine lacks: the right, the library, or the kernel's support. None if it lacks nothing."""
    # Cheap, and the usual case for a user without rights.
    if not _capabilities() & _NET_ADMIN:
        return denied()
    nft = Nft()
    try:
        nft.run("list tables")
    except BalancerFault as fault:
        return fault
    finally:
        nft.close()
    return None


def blocking_chain() -> str:
    """Return a chain of another program that drops forwarded flows, with the rule to add, or an empty text.

    Docker's own chain accepts flows to ports that it publishes, and those of Penstock's targets are.
    """
    nft = Nft()
    try:
        return find_blocking_chain(nft.run)
    except BalancerFault:
        return ""
    finally:
        nft.close()


def find_blocking_chain(run: Callable[[str], str]) -> str:
    """Return what `blocking_chain` does. `run` runs a script of nft."""
    for chain in base_chains(run("list chains")):
        is_docker = (chain.family, chain.table, chain.name) in (
            ("ip", "filter", "FORWARD"),
            ("ip6", "filter", "FORWARD"),
        )
        if chain.hook != "forward" or chain.policy != "drop" or is_docker:
            continue
        place = f"{chain.family} {chain.table} {chain.name}"
        # It may have been removed in the meantime.
        with suppress(NftError):
            if _ACCEPTS not in run(f"list chain {place}"):
                return f"nft insert rule {place} {_ACCEPTS}"
    return ""


def _capabilities() -> int:
    try:
        lines = read_small_file("/proc/self/status").decode().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
