"""The rights of the gateway agent. It gives up all that root has and it does not need."""

from __future__ import annotations

import ctypes
import os
import struct

# The numbers of capabilities: to attach programs to devices, to use their maps, and to adopt maps or do all of it.
NET_ADMIN, BPF, SYS_ADMIN = 12, 39, 21
# The balancer's directory may belong to another user, and HAProxy's workers get the socket for reports.
_CHOWN, _DAC_OVERRIDE, _FOWNER = 0, 1, 3
_KEPT = (_CHOWN, _DAC_OVERRIDE, _FOWNER, NET_ADMIN, BPF)
_VERSION = 0x20080522
_SET_NO_NEW_PRIVILEGES, _DROP_FROM_BOUND, _AMBIENT, _CLEAR = 38, 24, 47, 4
_LAST = 63


def keep_rights() -> None:
    """Give up, for good, all capabilities that a process with an open path does not need.

    Raises `OSError` if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    effective, permitted, _ = held()
    # Without the former, the latter stands for it.
    kept = {*_KEPT} if permitted >> BPF & 1 else {*_KEPT, SYS_ADMIN}
    for number in range(_LAST + 1):
        if number not in kept:
            # Refused for a process that cannot regain any, and for numbers that the kernel does not have.
            libc.prctl(_DROP_FROM_BOUND, number, 0, 0, 0)
    _call(libc.prctl, _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.prctl(_AMBIENT, _CLEAR, 0, 0, 0)
    bits = sum(1 << number for number in kept)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION, 0))
    _call(libc.capset, header, ctypes.create_string_buffer(_packed(effective & bits, permitted & bits, 0)))


def held() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable capabilities of this thread, as bits."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION, 0))
    data = ctypes.create_string_buffer(24)
    _call(ctypes.CDLL(None, use_errno=True).capget, header, data)
    low = struct.unpack("=6I", data.raw)
    effective, permitted, inheritable = (low[at] | low[at + 3] << 32 for at in range(3))
    return effective, permitted, inheritable


def _packed(*sets: int) -> bytes:
    return struct.pack("=6I", *(each & 0xFFFFFFFF for each in sets), *(each >> 32 for each in sets))


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
