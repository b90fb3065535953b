"""Whether this machine lets the kernel plane carry flows."""

from __future__ import annotations

from ipaddress import ip_address

from pipeline.balancer.kernel.faults import denied
from pipeline.balancer.kernel.flow import Address
from pipeline.balancer.kernel.forwarding import remedy
from pipeline.balancer.kernel.nft import Nft
from pipeline.balancer.kernel.others import listeners_of, other_tables
from pipeline.base.errors import BalancerFault
from pipeline.base.small_file import read_small_file

_NET_ADMIN = 1 << 12


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


def forwarding_remedy() -> str:
    """Return what to do so that no other program drops what the kernel forwards, or an empty text."""
    nft = Nft()
    try:
        return remedy(nft.run)
    except BalancerFault:
        return ""
    finally:
        nft.close()


def table_with_listener(protocol: str, address: str, port: int, *, besides: str) -> str:
    """Return the table of a home, other than `besides`, that has a listener at an address. Empty if there is none.

    0.0.0.0 and :: overlap every address of their family.
    """
    nft = Nft()
    try:
        for name in other_tables(nft.run("list tables inet"), besides):
            for spoken, other, number in listeners_of(nft.run(f"list table inet {name}")):
                if (spoken, number) == (protocol, port) and _overlap(ip_address(other), ip_address(address)):
                    return name
    except BalancerFault:
        # The change that follows says what the machine lacks.
        return ""
    finally:
        nft.close()
    return ""


def _overlap(one: Address, other: Address) -> bool:
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)


def _capabilities() -> int:
    try:
        lines = read_small_file("/proc/self/status").decode().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
