"""Whether this machine lets the kernel send packets through appliances."""

from __future__ import annotations

import os
import re

from pipeline.balancer.gateway.rights import NET_ADMIN, SYS_ADMIN, held
from pipeline.base.errors import BalancerFault

_OLDEST = (5, 10)
# The second includes CAP_BPF. The kernel lets no process without it adopt the maps of another one.
_RIGHTS = {NET_ADMIN: "CAP_NET_ADMIN", SYS_ADMIN: "CAP_SYS_ADMIN"}


def path_fault() -> BalancerFault | None:
    """Return what this machine or this process lacks: a kernel that is new enough, or a right. None if nothing."""
    return kernel_version_fault(os.uname().release) or rights_fault(held()[0])


def kernel_version_fault(release: str) -> BalancerFault | None:
    """Return the fault of a release of Linux that is too old, such as `5.4.0-42-generic`, or None."""
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is None or (int(found[1]), int(found[2])) >= _OLDEST:
        return None
    return BalancerFault(
        f"a gateway load balancer needs Linux 5.10, this machine has {release}",
        hint="use a machine with a newer kernel, or remove the endpoint",
    )


def rights_fault(effective: int) -> BalancerFault | None:
    """Return the fault of a process with these capabilities, as bits, or None."""
    missing = [name for number, name in _RIGHTS.items() if not effective >> number & 1]
    if not missing:
        return None
    return BalancerFault(
        f"a gateway load balancer needs {' and '.join(missing)}, which this process does not have",
        hint="run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN:"
        " `AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_SYS_ADMIN` in a unit of systemd",
    )
