"""The errors of what the kernel plane needs from the machine."""

from __future__ import annotations

import errno
import os

import pytest

from pipeline.balancer.kernel.conntrack import cut_flows
from pipeline.balancer.kernel.faults import netlink_fault


@pytest.mark.parametrize(
    ("number", "message", "hint"),
    [
        (errno.EPERM, "no permission to change rules", "CAP_NET_ADMIN"),
        (errno.EPROTONOSUPPORT, "not supported here: Protocol not supported", "NF_TABLES_INET"),
        (errno.EINVAL, "not supported here: Invalid argument", "NF_CT_NETLINK"),
        (errno.ENOMEM, "the kernel: Cannot allocate memory", ""),
    ],
)
def test_errors_of_the_kernel_say_what_to_do(number: int, message: str, hint: str) -> None:
    """The error names the reason, and the hint what to grant or to have in the kernel, if anything helps."""
    fault = netlink_fault(OSError(number, os.strerror(number)))
    assert fault.message == f"nftables: {message}"
    assert hint in (fault.hint or "")


@pytest.mark.parametrize("mark", [0, 1, 0x4E4B0001, 0x14E4C0001])
def test_flows_of_other_programs_cannot_be_cut(mark: int) -> None:
    """A mark that is not a target's is refused before the kernel is asked."""
    with pytest.raises(ValueError, match="is not the mark of a target"):
        cut_flows(mark)
