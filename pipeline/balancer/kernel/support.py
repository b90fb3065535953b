"""Whether this machine lets the kernel plane carry flows."""

from __future__ import annotations

from pipeline.balancer.kernel.faults import denied
from pipeline.balancer.kernel.forwarding import remedy
from pipeline.balancer.kernel.nft import Nft
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


def _capabilities() -> int:
    try:
        lines = read_small_file("/proc/self/status").decode().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
