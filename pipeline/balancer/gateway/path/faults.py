"""The errors of what the path needs from the machine, with what to grant."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.base.errors import BalancerFault

_UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.E2BIG)


@contextmanager
def faults(action: str) -> Iterator[None]:
    """Within the block, an `OSError` becomes a `BalancerFault`. `action`: what was tried."""
    try:
        yield
    except OSError as error:
        raise _fault(action, error) from None


def _fault(action: str, error: OSError) -> BalancerFault:
    if error.errno in (errno.EPERM, errno.EACCES):
        return BalancerFault(
            f"gateway: no permission to {action}",
            hint="run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN:"
            " `AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_SYS_ADMIN` in a unit of systemd",
        )
    reason = error.strerror or str(error)
    hint = "it needs Linux 5.10 or newer, with CONFIG_BPF_SYSCALL, NET_CLS_BPF, NET_SCH_INGRESS and VETH"
    return BalancerFault(f"gateway: cannot {action}: {reason}", hint=hint if error.errno in _UNSUPPORTED else None)
