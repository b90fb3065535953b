"""The rows of HAProxy's statistics, as states of servers."""

from __future__ import annotations

import pytest

from pipeline.balancer.haproxy.statistics import ServerState, read_statistics

HEADER = "# pxname,svname,status,check_status,check_code,last_chk,check_desc,check_health,scur,qcur,lastchg,addr,sid"


def state(check: str, code: str) -> ServerState:
    """Return the state of a server whose last check has this status and code."""
    row = f"web,a,DOWN,{check},{code},,,0,1,0,7,192.0.2.1:80,1"
    return read_statistics([HEADER, row]).servers["web", "a"]


@pytest.mark.parametrize(
    ("check", "code", "expected"),
    [
        ("L7STS", "503", "503"),
        ("* L7STS", "503", "503"),
        ("* L7STS", "0", ""),
        # The code of gRPC for a call that succeeded, where another one is expected.
        ("L7STS", "0", "0"),
    ],
)
def test_the_code_of_a_check(check: str, code: str, expected: str) -> None:
    """A code that a running check hides is unknown, and the statistics are read again."""
    found = state(check, code)
    assert (found.check_status, found.check_code, found.is_rechecking) == ("L7STS", expected, not expected)
