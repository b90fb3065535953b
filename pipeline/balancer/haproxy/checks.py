"""HAProxy's check codes as facts.

The codes: https://docs.haproxy.org/2.8/management.html#9.1 (`check_status`)
"""

from __future__ import annotations

from functools import lru_cache

from pipeline.balancer.data_plane import CheckFact, Outcome

_TEXTS = {"L4CON": "Connection refused", "SOCKERR": "Connection closed without an answer"}


@lru_cache(maxsize=1024)
def check_fact(status: str, code: str = "", text: str = "", passes: int = 0) -> CheckFact:
    """Return the fact for the columns of `show stat`. An empty `status` means that there is no check."""
    # HAProxy appends the step of the check. A check of a port has only one.
    detail = text.partition(" at step ")[0] or _TEXTS.get(status, status)
    return CheckFact(_outcome(status), passes=passes, code=code, text=detail)


def _outcome(status: str) -> Outcome:
    if status in ("", "UNK"):
        return "none"
    if status == "INI":
        return "pending"
    if status.startswith(("L4OK", "L6OK", "L7OK")):
        return "passed"
    if status == "L7STS":
        return "mismatch"
    return "timeout" if status.endswith("TOUT") else "failed"
