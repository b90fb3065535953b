"""The reasons for which a network is not attached."""

from __future__ import annotations

import errno

from pipeline.base.errors import BalancerFault


class AttachmentFault(BalancerFault):
    """A network cannot be attached to its endpoint now. What is attached stays."""


class Missing(AttachmentFault):
    """There is no such network. It may come later."""


class Conflict(AttachmentFault):
    """A network is not as an endpoint needs it, and its owner has to change that."""


def denied() -> AttachmentFault:
    """Return the error for a process without the right to make devices and to enter namespaces."""
    return AttachmentFault(
        "no permission to make network devices",
        hint="run as root, or grant CAP_NET_ADMIN and CAP_SYS_ADMIN: `AmbientCapabilities=CAP_NET_ADMIN CAP_SYS_ADMIN` "
        "in a unit of systemd",
    )


def kernel_fault(error: OSError) -> AttachmentFault:
    """Return the error for a request that the kernel refused."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return denied()
    return AttachmentFault(f"network devices: the kernel: {error.strerror or error}")
