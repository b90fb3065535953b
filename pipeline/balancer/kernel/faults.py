"""The errors of what the kernel plane needs from the machine, with what to grant or to install."""

from __future__ import annotations

import errno

from pipeline.base.errors import BalancerFault

# The kernel's replies to what it was built without: a family, a subsystem, a kind of rule.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL)


def denied() -> BalancerFault:
    """Return the error for a process without the right to change rules and flows."""
    return BalancerFault(
        "nftables: no permission to change rules",
        hint="run as root, or grant CAP_NET_ADMIN: `AmbientCapabilities=CAP_NET_ADMIN` in a unit of systemd,"
        " `--cap-add NET_ADMIN` for a container",
    )


def unsupported(reason: str) -> BalancerFault:
    """Return the error for a kernel that was built without a part that is needed, or an nft that is too old."""
    return BalancerFault(
        f"nftables: not supported here: {reason}",
        hint="it needs nftables 1.0 or newer, and a kernel with CONFIG_NF_TABLES_INET, NFT_NAT, NFT_HASH, NFT_CT,"
        " NFT_REJECT_INET, NF_CT_NETLINK and NF_CONNTRACK_TIMEOUT",
    )


def library_missing(reason: str) -> BalancerFault:
    """Return the error for a machine without libnftables."""
    return BalancerFault(
        f"nftables: its library is missing: {reason}", hint="install it, on Debian and Ubuntu: apt-get install nftables"
    )


def netlink_fault(error: OSError) -> BalancerFault:
    """Return the error for a request that the kernel refused."""
    if error.errno == errno.EPERM:
        return denied()
    if error.errno in _UNSUPPORTED:
        return unsupported(error.strerror or str(error))
    return BalancerFault(f"nftables: the kernel: {error.strerror or error}")
