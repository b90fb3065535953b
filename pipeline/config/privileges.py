"""The privileges of containers: their capabilities, `no_new_privileges` and `pids_limit`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole
from pipeline.base.suggestion import nearest
from pipeline.config.container_values import MAX_PIDS
from pipeline.engine.container import Privileges

ALL = "ALL"
WITHHELD_CAPABILITIES = frozenset({"AUDIT_WRITE", "MKNOD", "NET_RAW"})
"""Capabilities that Docker gives to each container by default, and Penstock does not."""
DEFAULT_CAPABILITIES = frozenset(
    {
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP"),
        *("SETUID", "SYS_CHROOT"),
    }
)
_OTHER_CAPABILITIES = frozenset(
    {
        *("AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH"),
        *("IPC_LOCK", "IPC_OWNER", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN"),
        *("NET_BROADCAST", "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT"),
        *("SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"),
    }
)
KNOWN_CAPABILITIES = DEFAULT_CAPABILITIES | WITHHELD_CAPABILITIES | _OTHER_CAPABILITIES

NO_PIDS_LIMIT = -1
VERSION_1_LIMITS: dict[str, Any] = {
    "pids_limit": NO_PIDS_LIMIT,
    "cap_add": tuple(sorted(WITHHELD_CAPABILITIES)),
    "cap_drop": (),
    "no_new_privileges": False,
}
"""The limits of a release of version 1: its containers have Docker's default privileges."""
# More than a server with a thread per connection needs, and far less than the 32768 of a small machine.
DEFAULT_PIDS_LIMIT = 4096


def pids(limit: int) -> int | None:
    """Return a `pids_limit` as the engine takes it. None is no limit."""
    return None if limit == NO_PIDS_LIMIT else limit


def _capability(value: str) -> str:
    name = value.upper().removeprefix("CAP_")
    if name == ALL or name in KNOWN_CAPABILITIES:
        return name
    near = nearest(name, KNOWN_CAPABILITIES)
    raise ValueError(f"{value!r} is not a Linux capability; write {near or 'a name such as NET_RAW'}")


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names sorted, so that another order of the same ones is not another release."""
    return tuple(sorted(set(names)))


def _pids_limit(value: int) -> int:
    if value < 1 and value != NO_PIDS_LIMIT:
        raise ValueError(f"must be at least 1, or -1 for no limit, got {value}")
    if value > MAX_PIDS:
        raise ValueError(f"must be at most {MAX_PIDS}, got {value}")
    return value


def capability_mistakes(added: Collection[str], dropped: Collection[str]) -> Iterator[FieldError]:
    """Yield the mistake of a capability that is added and dropped."""
    if both := sorted(set(added) & set(dropped)):
        yield FieldError("cap_drop", f"must not contain {both[0]}, which is in cap_add; remove it from one of them")


def privileges(
    added: Collection[str],
    dropped: Collection[str] = (),
    *,
    no_new_privileges: bool,
    default: Collection[str] = DEFAULT_CAPABILITIES,
) -> Privileges:
    """Return the privileges of a container that has `default` without `dropped`, and `added`.

    The engine gets every capability by name, so its own default does not count.
    """
    if ALL in added:
        # The engine knows which capabilities the kernel has.
        return Privileges((ALL,), tuple(sorted(dropped)), no_new_privileges)
    kept = set() if ALL in dropped else set(default) - set(dropped)
    return Privileges(tuple(sorted(kept | set(added))), (ALL,), no_new_privileges)


Capability = Annotated[str, AfterValidator(_capability)]
Capabilities = Annotated[tuple[Capability, ...], AfterValidator(_unique)]
AddedCapabilities = Annotated[
    Capabilities, Field(description="Linux capabilities in addition to the default ones, such as NET_RAW. ALL: all.")
]
DroppedCapabilities = Annotated[
    Capabilities,
    Field(description="Linux capabilities to remove from the default ones. ALL: all but those in `cap_add`."),
]
NoNewPrivileges = Annotated[
    bool,
    Field(
        description="Keep programs from gaining privileges that their parent does not have: by setuid, such as sudo, "
        "or by the capabilities of a file."
    ),
]
PidsLimit = Annotated[
    Whole,
    AfterValidator(_pids_limit),
    Field(
        json_schema_extra={"minimum": -1},
        description="Maximum number of processes and threads of each container. -1: no limit.",
    ),
]
