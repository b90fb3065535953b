"""HAProxy's two sockets: the worker's, which changes and shows targets, and the master's, which reloads.

After a reload the replaced worker lives on until its last request is answered. What is in flight there counts, so
figures are summed over all workers. It takes no changes any more, and needs none: what else it is asked it passes on.
"""

from __future__ import annotations

import csv
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.balancer.haproxy.naming import MASTER_SOCKET, WORKER_SOCKET
from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import connection_to

_TIMEOUT = 5.0
# After a start or a reload the master executes itself anew: for some milliseconds, on a busy machine more, it refuses
# or swallows commands.
_MASTER_TIMEOUT = 0.5
_MASTER_DEADLINE = 10.0
_MAX_READINGS = 5
# HAProxy reads commands into a buffer of 16 KiB.
_MAX_MESSAGE = 12000
# For `show stat`: every proxy; backends and servers.
_ALL, _KINDS = "-1", 2 + 4


class NotRunning(BalancerFault):
    """Nobody answers at the sockets."""


# Backend and server.
ServerKey = tuple[str, str]


@dataclass(frozen=True)
class ServerState:
    """One server of HAProxy's. `age` is seconds since its state changed; `address` is empty for a socket's."""

    name: str
    status: str
    check_status: str = ""
    check_code: str = ""
    check_text: str = ""
    passes: int = 0
    in_flight: int = 0
    age: int = 0
    address: str = ""

    @property
    def in_maintenance(self) -> bool:
        """It gets no request. Checks may run all the same."""
        return self.status.startswith("MAINT")

    @property
    def is_rechecking(self) -> bool:
        """It failed by its answer, and is just being asked again: HAProxy has then forgotten what the answer was."""
        return self.check_status == "L7STS" and self.check_code in ("", "0")


@dataclass(frozen=True)
class Statistics:
    """The backends that a worker has, and their servers."""

    backends: set[str] = field(default_factory=set)
    servers: dict[ServerKey, ServerState] = field(default_factory=dict)


class Runtime:
    """The running HAProxy of one balancer directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fingerprint(self) -> str | None:
        """The declaration that is loaded; None when HAProxy does not run."""
        try:
            info = self.ask_worker("show info")
        except NotRunning:
            return None
        found = re.search(r"^description: (\S+)", info, re.MULTILINE)
        return found[1] if found else ""

    def master_pid(self) -> int | None:
        """The process to signal; None when HAProxy does not run."""
        try:
            found = re.search(r"^(\d+)\s+master", self._processes(), re.MULTILINE)
        except NotRunning:
            return None
        return int(found[1]) if found else None

    def servers(self, backend: str) -> dict[str, ServerState]:
        """Return the servers of a backend by name. See `statistics`."""
        return {name: server for (_, name), server in self.statistics([backend]).servers.items()}

    def statistics(self, backends: Iterable[str] | None = None) -> Statistics:
        """Return what the current worker has of these backends or of all, with what is in flight in all workers.

        A server that only a replaced worker still has is in it as long as something is in flight there: closed,
        because the current worker sends nothing to it, and unchecked, because what that worker knows is old.
        """
        asked = None if backends is None else set(backends)
        command = "; ".join(f"show stat {scope} {_KINDS} -1" for scope in sorted(asked or {_ALL}))
        for _ in range(_MAX_READINGS):
            current = _statistics(self.ask_worker(command))
            if not any(server.is_rechecking for server in current.servers.values()):
                break
            time.sleep(0.002)
        for pid in self._replaced_workers():
            for key, old in _statistics(self._ask_replaced(pid, f"show stat {_ALL} {_KINDS} -1")).servers.items():
                known = current.servers.get(key, ServerState(key[1], "MAINT", age=old.age, address=old.address))
                if old.in_flight and (asked is None or key[0] in asked):
                    current.servers[key] = replace(known, in_flight=known.in_flight + old.in_flight)
        return current

    def execute(self, steps: Iterable[str]) -> None:
        """Execute commands in order. Those of one step, parted by `;`, are executed together or not at all.

        HAProxy's answers are ignored: it refuses what is so already, and a later observation shows the result.
        """
        message = ""
        for step in steps:
            if message and len(message) + len(step) > _MAX_MESSAGE:
                self.ask_worker(message)
                message = ""
            message = f"{message}; {step}" if message else step
        if message:
            self.ask_worker(message)

    def abort_connections(self, backend: str, name: str) -> None:
        """Break what is in flight to a target, in every worker."""
        self.ask_worker(f"shutdown sessions server {backend}/{name}")
        # To a replaced worker its servers are closed to commands, but not the requests themselves.
        request = re.compile(rf"^(0x\w+): .* be={re.escape(backend)} srv={re.escape(name)} ", re.MULTILINE)
        for pid in self._replaced_workers():
            for identity in request.findall(self._ask_replaced(pid, "show sess")):
                self._ask_replaced(pid, f"shutdown session {identity}")

    def state(self) -> str:
        """The state of every server, in the form of a server-state-file."""
        return self.ask_worker("show servers state")

    def entries(self, file: str) -> dict[str, str]:
        """What a map holds. Empty when none of that name is loaded."""
        lines = (line.split(" ", 2) for line in self.ask_worker(f"show map {file}").splitlines())
        return {parts[1]: parts[2] for parts in lines if len(parts) == 3 and parts[0].startswith("0x")}

    def replace_entries(self, file: str, entries: Mapping[str, str]) -> None:
        """Change all that a map holds at once: no request sees a part of it."""
        found = re.search(r"New version created: (\d+)", self.ask_worker(f"prepare map {file}"))
        if found is None:
            raise BalancerFault(f"HAProxy has no map {file}")
        self.execute(f"add map @{found[1]} {file} {key} {value}" for key, value in entries.items())
        self.ask_worker(f"commit map @{found[1]} {file}")

    def replace_pem(self, kind: str, file: str, content: str) -> None:
        """Change a certificate (`cert`) or a store of authorities (`ca-file`). Raises `BalancerFault` if refused."""
        answer = self.ask_worker(f"set ssl {kind} {file} <<\n{content.strip()}\n\ncommit ssl {kind} {file}")
        if "Success" not in answer:
            self.ask_worker(f"abort ssl {kind} {file}")
            raise BalancerFault(f"HAProxy does not take {file}: {answer.strip()}")

    def reload(self) -> str | None:
        """Load haproxy.cfg; None when it took effect, else HAProxy's reasons: the replaced one then goes on."""
        self._processes()
        verdict, _, text = self._ask(MASTER_SOCKET, "reload").partition("\n")
        return None if verdict.strip() == "Success=1" else text.strip(" -\n")

    def ask_worker(self, command: str) -> str:
        """Send a command to the current worker. Return its answer."""
        return self._ask(WORKER_SOCKET, command)

    def _replaced_workers(self) -> list[str]:
        _, _, replaced = self._processes().partition("# old workers")
        return re.findall(r"^(\d+)\s+worker", replaced, re.MULTILINE)

    def _ask_replaced(self, pid: str, command: str) -> str:
        """Ask a replaced worker. It may end at any moment, an answer left out, and then has nothing in flight."""
        deadline = time.monotonic() + _MASTER_DEADLINE
        while time.monotonic() < deadline:
            with suppress(BalancerFault):
                return self._ask(MASTER_SOCKET, f"@!{pid} {command}", _MASTER_TIMEOUT)
            if pid not in self._replaced_workers():
                return ""
        raise BalancerFault(f"HAProxy's replaced worker {pid} does not answer")

    def _processes(self) -> str:
        deadline = time.monotonic() + _MASTER_DEADLINE
        while time.monotonic() < deadline:
            with suppress(BalancerFault):
                answer = self._ask(MASTER_SOCKET, "show proc", _MASTER_TIMEOUT)
                if "# workers" in answer:
                    return answer
            # Without a worker there is no master either, and nothing to wait for.
            self.ask_worker("show version")
            time.sleep(0.01)
        raise BalancerFault(f"HAProxy's master does not answer at {self._directory / MASTER_SOCKET}")

    def _ask(self, name: str, command: str, timeout: float = _TIMEOUT) -> str:
        try:
            with connection_to(self._directory, name, _TIMEOUT) as connection:
                connection.settimeout(timeout)
                connection.sendall(f"{command}\n".encode())
                # The master answers only when it knows that no more commands follow.
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
        except TimeoutError as error:
            raise BalancerFault(f"HAProxy did not answer `{command.split(';')[0]}` within {timeout} s") from error
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError) as error:
            raise NotRunning(f"HAProxy does not answer at {self._directory / name}: {error.strerror}") from error
        except OSError as error:
            raise BalancerFault(f"HAProxy cannot be asked at {self._directory / name}: {error.strerror}") from error


def _statistics(answer: str) -> Statistics:
    """Read one table or several. HAProxy's answer for an unknown backend has no row."""
    found = Statistics()
    lines = [line for line in answer.splitlines() if "," in line]
    heads = [line for line in lines if line.startswith("# ")]
    rows = csv.DictReader(
        [heads[0].removeprefix("# "), *(line for line in lines if line not in heads)] if heads else []
    )
    for row in rows:
        if row["svname"] == "BACKEND":
            found.backends.add(row["pxname"])
        else:
            found.servers[row["pxname"], row["svname"]] = _server(row)
    return found


def _server(row: dict[str, str]) -> ServerState:
    return ServerState(
        name=row["svname"],
        status=row["status"],
        # A leading star says that a check is running now.
        check_status=row["check_status"].removeprefix("* "),
        check_code=row["check_code"],
        check_text=row["last_chk"] or row["check_desc"],
        passes=int(row["check_health"] or 0),
        in_flight=int(row["scur"] or 0) + int(row["qcur"] or 0),
        age=int(row["lastchg"] or 0),
        address="" if row["addr"] == "unix" else row["addr"],
    )
