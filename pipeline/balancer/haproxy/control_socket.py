"""HAProxy's two control sockets: the worker's for targets, and the master's for reloads.

After a reload, the replaced worker runs until its last request is answered. Its open requests count, so figures are
summed over all workers. It needs no further changes, because it passes new requests to its successor.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.balancer.haproxy.found_processes import workers
from pipeline.balancer.haproxy.naming import MASTER_SOCKET, WORKER_SOCKET
from pipeline.balancer.haproxy.statistics import ServerState, Statistics, read_statistics
from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import connection_to

_TIMEOUT = 5.0
# After a start or a reload, the master re-executes itself. For some milliseconds, or longer on a busy machine, it
# refuses or drops commands.
_MASTER_TIMEOUT = 0.5
# The new worker reads the whole configuration before the master replies.
_RELOAD_TIMEOUT = 30.0
_MASTER_START_TIMEOUT = 10.0
# For a second question to a HAProxy that has not responded to the first one.
_PING_TIMEOUT = 2.0
# Seconds between readings while a check runs, which hides the code of the one before.
_PAUSES = (0.002, 0.004, 0.008, 0.016, 0.032)
# Bytes of a reply that are read at once, and milliseconds after which they are read before the end.
_PART, _MAX_PAUSE = 65536, 2
# HAProxy reads commands into a buffer of 16 KiB.
_MAX_MESSAGE = 12000
# For `show stat`: every proxy, and the types backend (2) and server (4).
_ALL, _KINDS = "-1", 2 + 4
_EVERYTHING = f"show stat {_ALL} 7 -1"


class NotRunning(BalancerFault):
    """HAProxy does not respond at its sockets, because it does not run."""


class Runtime:
    """The running HAProxy of one balancer directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the loaded configuration, empty if it has none, or None if HAProxy does not run."""
        try:
            info = self.ask_worker("show info")
        except NotRunning:
            return None
        found = re.search(r"^description: (\S+)", info, re.MULTILINE)
        return found[1] if found else ""

    def ping(self) -> None:
        """Raise `BalancerFault` if the worker or the master does not respond in time, and `NotRunning` without one."""
        self._ask(WORKER_SOCKET, "show version", _PING_TIMEOUT)
        self._ask(MASTER_SOCKET, "show version", _PING_TIMEOUT)

    def has_sockets(self) -> bool:
        """Return whether both sockets are in the directory. HAProxy replaces them without a gap."""
        return all((self._directory / name).is_socket() for name in (WORKER_SOCKET, MASTER_SOCKET))

    def master_pid(self) -> int | None:
        """Return the master's process id, or None if HAProxy does not run."""
        try:
            found = re.search(r"^(\d+)\s+master", self._processes(), re.MULTILINE)
        except NotRunning:
            return None
        return int(found[1]) if found else None

    def servers(self, backend: str) -> dict[str, ServerState]:
        """Return the servers of a backend by name. See `statistics`."""
        return {name: server for (_, name), server in self.statistics([backend]).servers.items()}

    def statistics(self, backends: Iterable[str] | None = None) -> Statistics:
        """Return the current worker's servers of these backends, or of all. Open requests are summed over all workers.

        A server that only a replaced worker has is included while it has open requests. It is closed, because the
        current worker sends nothing to it, and unchecked, because the replaced worker's checks are outdated.
        """
        asked = None if backends is None else set(backends)
        current = self.current_statistics(asked)
        for pause in _PAUSES:
            if not any(server.is_rechecking for server in current.servers.values()):
                break
            time.sleep(pause)
            current = self.current_statistics(asked)
        for pid in self._replaced_workers():
            reply = self._ask_replaced(pid, f"show stat {_ALL} {_KINDS} -1")
            for key, old in read_statistics(reply.split("\n")).servers.items():
                known = current.servers.get(key, ServerState(key[1], "MAINT", age=old.age, address=old.address))
                if old.in_flight and (asked is None or key[0] in asked):
                    current.servers[key] = known._replace(in_flight=known.in_flight + old.in_flight)
        return current

    def tables(self) -> dict[str, str]:
        """Return the statistics of frontends, backends and servers by worker. Empty if HAProxy does not run."""
        try:
            pid = re.findall(r"^Pid: (\d+)", self.ask_worker("show info"), re.MULTILINE)
            found = {pid[0]: self.ask_worker(_EVERYTHING)} if pid else {}
            return {**found, **{old: self._ask_replaced(old, _EVERYTHING) for old in self._replaced_workers()}}
        except NotRunning:
            return {}

    def current_statistics(self, backends: Iterable[str] | None = None) -> Statistics:
        """Return what `statistics` does, but with the open requests of the current worker only."""
        scopes = {_ALL} if backends is None else set(backends)
        command = "; ".join(f"show stat {scope} {_KINDS} -1" for scope in sorted(scopes or {_ALL}))
        with (
            self._asked(WORKER_SOCKET, command) as connection,
            # HAProxy makes the next rows while these are read.
            connection.makefile(buffering=_PART, encoding="utf-8", errors="replace", newline="\n") as rows,
        ):
            return read_statistics(rows)

    def execute(self, steps: Iterable[str]) -> str:
        """Execute commands in order. Those of one step, separated by `;`, are executed together or not at all.

        Return HAProxy's replies. It refuses a command whose result already holds.
        """
        replies, messages = list[str](), _messages(steps)
        message = next(messages, None)
        while message is not None:
            with self._asked(WORKER_SOCKET, message) as connection:
                # HAProxy executes this message while the next one is made.
                message = next(messages, None)
                replies.append(b"".join(_parts_at_end(connection)).decode(errors="replace"))
        return "".join(replies)

    def abort_connections(self, backend: str, name: str) -> None:
        """Close the open requests of a target, in every worker."""
        self.ask_worker(f"shutdown sessions server {backend}/{name}")
        # A replaced worker accepts no commands for its servers, but it does for single sessions.
        request = re.compile(rf"^(0x\w+): .* be={re.escape(backend)} srv={re.escape(name)} ", re.MULTILINE)
        for pid in self._replaced_workers():
            for identity in request.findall(self._ask_replaced(pid, "show sess")):
                self._ask_replaced(pid, f"shutdown session {identity}")

    def state(self) -> str:
        """Return the state of every server, in the format of a server-state-file."""
        return self.ask_worker("show servers state")

    def entries(self, file: str) -> dict[str, str]:
        """Return the entries of a map. Empty if no map of that name is loaded."""
        lines = (line.split(" ", 2) for line in self.ask_worker(f"show map {file}").split("\n"))
        return {parts[1]: parts[2] for parts in lines if len(parts) == 3 and parts[0].startswith("0x")}

    def replace_entries(self, file: str, entries: Mapping[str, str]) -> None:
        """Replace all entries of a map at once, so no request sees a part of the change."""
        found = re.search(r"New version created: (\d+)", self.ask_worker(f"prepare map {file}"))
        if found is None:
            raise BalancerFault(f"HAProxy has no map {file}")
        self.execute(f"add map @{found[1]} {file} {key} {value}" for key, value in entries.items())
        self.ask_worker(f"commit map @{found[1]} {file}")

    def replace_pem(self, kind: str, file: str, content: str) -> None:
        """Replace a certificate (`cert`) or a trust store (`ca-file`). Raises `BalancerFault` if HAProxy refuses it."""
        answer = self.ask_worker(f"set ssl {kind} {file} <<\n{content.strip()}\n\ncommit ssl {kind} {file}")
        if "Success" not in answer:
            self.ask_worker(f"abort ssl {kind} {file}")
            raise BalancerFault(f"HAProxy rejects {file}: {answer.strip()}")

    def reload(self) -> str | None:
        """Load haproxy.cfg. Returns None, or HAProxy's reasons if it keeps the previous configuration."""
        self._processes()
        verdict, _, text = self._ask(MASTER_SOCKET, "reload", _RELOAD_TIMEOUT).partition("\n")
        return None if verdict.strip() == "Success=1" else text.strip(" -\n")

    def ask_worker(self, command: str) -> str:
        """Send a command to the current worker and return its reply."""
        return self._ask(WORKER_SOCKET, command)

    def _replaced_workers(self) -> list[str]:
        # The kernel says sooner than the master that there is only one.
        if len(workers(self._directory)) == 1:
            return []
        _, _, replaced = self._processes().partition("# old workers")
        return re.findall(r"^(\d+)\s+worker", replaced, re.MULTILINE)

    def _ask_replaced(self, pid: str, command: str) -> str:
        """Send a command to a replaced worker. Returns an empty reply if it has exited, with no open requests."""
        deadline = time.monotonic() + _MASTER_START_TIMEOUT
        while time.monotonic() < deadline:
            with suppress(BalancerFault):
                return self._ask(MASTER_SOCKET, f"@!{pid} {command}", _MASTER_TIMEOUT)
            if pid not in self._replaced_workers():
                return ""
        raise BalancerFault(f"HAProxy's replaced worker (pid {pid}) does not respond")

    def _processes(self) -> str:
        deadline = time.monotonic() + _MASTER_START_TIMEOUT
        while time.monotonic() < deadline:
            with suppress(BalancerFault):
                answer = self._ask(MASTER_SOCKET, "show proc", _MASTER_TIMEOUT)
                if "# workers" in answer:
                    return answer
            # Raises `NotRunning` without a worker, because then there is no master to wait for.
            self.ask_worker("show version")
            time.sleep(0.01)
        raise BalancerFault(f"HAProxy's master does not respond at {self._directory / MASTER_SOCKET}")

    def _ask(self, name: str, command: str, timeout: float = _TIMEOUT) -> str:
        with self._asked(name, command, timeout) as connection:
            return b"".join(iter(lambda: connection.recv(_PART), b"")).decode(errors="replace")

    @contextmanager
    def _asked(self, name: str, command: str, timeout: float = _TIMEOUT) -> Iterator[socket.socket]:
        """Send a command, and yield the connection from which its reply can be read."""
        try:
            with connection_to(self._directory, name, _TIMEOUT) as connection:
                connection.settimeout(timeout)
                connection.sendall(f"{command}\n".encode())
                # The master replies only after the end of the input.
                connection.shutdown(socket.SHUT_WR)
                yield connection
        except TimeoutError as error:
            raise BalancerFault(f"HAProxy did not respond to `{command.split(';')[0]}` within {timeout} s") from error
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError) as error:
            raise NotRunning(f"HAProxy does not respond at {self._directory / name}: {error.strerror}") from error
        except OSError as error:
            raise BalancerFault(f"cannot connect to HAProxy at {self._directory / name}: {error.strerror}") from error


def _messages(steps: Iterable[str]) -> Iterator[str]:
    message = ""
    for step in steps:
        if message and len(message) + len(step) > _MAX_MESSAGE:
            yield message
            message = ""
        message = f"{message}; {step}" if message else step
    if message:
        yield message


def _parts_at_end(connection: socket.socket) -> Iterator[bytes]:
    """Yield the parts of a reply once HAProxy has sent all of it.

    It sends a line for each command. To wake this process for each line takes longer than many commands do.
    """
    end = select.poll()
    end.register(connection, select.POLLRDHUP)
    # The kernel may have no space for the rest of a long reply, so the end may not come before a part is read.
    while end.poll(_MAX_PAUSE) is not None and (part := connection.recv(_PART)):
        yield part
