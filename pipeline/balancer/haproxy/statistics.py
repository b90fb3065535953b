"""The statistics of a worker of HAProxy: its backends, and the state of their servers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

# The columns of `show stat` that `_server` takes, in its order.
_COLUMNS = (
    *("pxname", "svname", "status", "check_status", "check_code", "last_chk", "check_desc", "check_health"),
    *("scur", "qcur", "lastchg", "addr", "sid"),
)
ServerKey = tuple[str, str]
"""The names of a backend and of a server in it."""


class ServerState(NamedTuple):
    """The state of a server of HAProxy. `age` is seconds since it changed. `address` is empty for a Unix socket.

    `number` is its id, by which HAProxy distinguishes the servers of a backend.
    """

    name: str
    status: str
    check_status: str = ""
    check_code: str = ""
    check_text: str = ""
    passes: int = 0
    in_flight: int = 0
    age: int = 0
    address: str = ""
    number: int = 0

    @property
    def is_closed(self) -> bool:
        """True if it gets nothing new. Checks may still run.

        HAProxy shows a drained server that is down as down. Without checks, it stays so.
        """
        return self.status.startswith(("MAINT", "DRAIN")) or (self.status == "DOWN" and not self.check_status)

    @property
    def is_rechecking(self) -> bool:
        """True if its last check failed by the response and a new one runs. HAProxy then shows no response code."""
        return self.check_status == "L7STS" and not self.check_code


@dataclass(frozen=True)
class Statistics:
    """The backends that a worker has, and their servers."""

    backends: set[str] = field(default_factory=set)
    servers: dict[ServerKey, ServerState] = field(default_factory=dict)


def read_statistics(lines: Iterable[str]) -> Statistics:
    """Parse one table or several. HAProxy's reply for an unknown backend has no row.

    `lines` end at line feeds only: the text of a failed check is the target's, and may have what Unicode calls a break.
    """
    found = Statistics()
    cells, needed = _cells([]), 0
    for line in lines:
        if line.startswith("# "):
            header = line.removeprefix("# ").split(",")
            cells, needed = _cells(header), max(map(header.index, _COLUMNS)) + 1
        elif "," in line:
            # The reader of CSV is much slower, and only failed checks have quoted text. A third of a row is not needed.
            row = cells(next(csv.reader([line])) if '"' in line else line.split(",", needed))
            if row[1] == "BACKEND":
                found.backends.add(row[0])
            else:
                found.servers[row[0], row[1]] = _server(*row)
    return found


def _cells(header: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return a function that picks the cells of `_COLUMNS` from a row of a table with this header."""
    return itemgetter(*(header.index(name) for name in _COLUMNS)) if header else tuple


def _server(
    _: str,
    name: str,
    status: str,
    check_status: str,
    check_code: str,
    last_check: str,
    description: str,
    passes: str,
    sessions: str,
    queued: str,
    age: str,
    address: str,
    number: str,
) -> ServerState:
    return ServerState(
        name,
        status,
        # A leading star means that a check is running.
        check_status.removeprefix("* "),
        # While a check runs, the code of the one before is shown as 0. Otherwise, 0 is a code of gRPC.
        "" if check_status.startswith("* ") and check_code == "0" else check_code,
        last_check or description,
        int(passes or 0),
        int(sessions or 0) + int(queued or 0),
        int(age or 0),
        "" if address == "unix" else address,
        int(number),
    )
