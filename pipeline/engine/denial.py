"""Signs in the output of a container that its program was denied a privilege or a process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pipeline.base.errors import StageFailed
from pipeline.engine.container import Privileges

# What libraries and programs print for EPERM, and sudo for a process that must not gain privileges.
_PERMISSION = "operation not permitted"
_NO_NEW_PRIVILEGES = "no new privileges"
# What shells, Python, the JVM and Go print if they cannot start a process or a thread.
_PROCESS_LIMIT = (
    "fork: resource temporarily unavailable",
    "fork: retry",
    "cannot fork",
    "can't fork",
    "can't start new thread",
    "unable to create native thread",
    "failed to create new os thread",
    "pthread_create failed",
    "blockingioerror: [errno 11] resource temporarily unavailable",
)


def denial_hint(
    lines: Iterable[str], section: str, privileges: Privileges, pids: int | None, pids_key: str = "pids_limit"
) -> str | None:
    """Return the key of pipeline.yaml that may help a program that printed `lines`, or None.

    `section` has the keys of the container, such as `deploy`.
    """
    text = "\n".join(lines).lower()
    if privileges.no_new_privileges and _NO_NEW_PRIVILEGES in text:
        return f"a program that gains privileges, such as sudo, needs {section}.no_new_privileges: false"
    if pids is not None and any(sign in text for sign in _PROCESS_LIMIT):
        return f"if it needs more than {pids} processes and threads, raise {section}.{pids_key}"
    if _PERMISSION in text and "ALL" not in privileges.cap_add:
        return f"if it needs a capability that its container does not have, name it in {section}.cap_add"
    return None


@contextmanager
def hint_at_denials(
    section: str, privileges: Privileges, pids: int | None, pids_key: str = "pids_limit"
) -> Iterator[None]:
    """Add the hint of `denial_hint` to a `StageFailed` that has none."""
    try:
        yield
    except StageFailed as error:
        if error.hint is None:
            error.hint = denial_hint((error.message, *error.tail), section, privileges, pids, pids_key)
        raise
