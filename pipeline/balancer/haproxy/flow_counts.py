"""HAProxy's counters of network load balancers, from `show stat`.

The columns: https://docs.haproxy.org/2.8/management.html#9.1
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping

from pipeline.balancer.data_plane import FlowCount, FlowCounts
from pipeline.balancer.haproxy.naming import FAIL_OPEN_SUFFIX, fail_open_backend_of, group_of

_FRONTEND = re.compile(r"([^.:]+)\.([^.:]+)\.(\d+)")
_BACKEND = re.compile(r"[^.:]+\.[^.:]+(\.[^.:]+)?")
_FAIL_OPEN = re.compile(fail_open_backend_of(r"[^.]+\.[^.]+"))
# In TCP mode, HAProxy counts a side as aborted if it sent a reset, and not if it closed.
_OF_BACKENDS: Mapping[str, FlowCount] = {
    "cli_abrt": "client_resets",
    "srv_abrt": "target_resets",
    "ssl_failed_handshake": "target_tls_errors",
}


def flow_counts(source: str, lines: Iterable[str]) -> Iterator[FlowCounts]:
    """Yield the counts of a worker, from its table for all frontends, backends and servers in TCP mode."""
    for row in csv.DictReader(line.removeprefix("# ") for line in lines if line):
        proxy, name = row["pxname"], row["svname"]
        if row["mode"] != "tcp":
            continue
        if name == "FRONTEND" and (found := _FRONTEND.fullmatch(proxy)):
            yield FlowCounts(source, found[1], found[2], int(found[3]), _of_frontend(row))
        elif name != "FRONTEND" and _BACKEND.fullmatch(proxy) and (counts := _of_backend(proxy, name, row)):
            owner, _, group = group_of(proxy).partition(".")
            # The counts of a server end with it.
            yield FlowCounts(f"{source} {proxy} {name}", owner, group, None, counts)


def _of_frontend(row: Mapping[str, str]) -> dict[FlowCount, int]:
    return {
        "active": _number(row["scur"]),
        "new": _number(row["stot"]),
        "bytes": _number(row["bin"]) + _number(row["bout"]),
        "client_tls_errors": _number(row.get("ssl_failed_handshake")),
    }


def _of_backend(proxy: str, name: str, row: Mapping[str, str]) -> dict[FlowCount, int]:
    if name != "BACKEND":
        # A fail-open server was chosen that often. Retries are not counted again.
        return {"unhealthy_routing": _number(row["lbtot"])} if name.endswith(FAIL_OPEN_SUFFIX) else {}
    counts = {count: _number(row.get(column)) for column, count in _OF_BACKENDS.items()}
    return {**counts, "unhealthy_routing": _number(row["stot"])} if _FAIL_OPEN.fullmatch(proxy) else counts


def _number(text: str | None) -> int:
    return int(text or 0)
