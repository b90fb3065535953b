"""A network load balancer before TCP servers that report the connections that reached them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.model.network.attributes import NetworkListenerAttributes
from tests.support.waiting import DEADLINE, until
from tests.system.alb import OWNER, Alb
from tests.system.servers import RawServer

# On a busy machine, a healthy target may be late some times.
CHECK = {"interval": "100ms", "timeout": "80ms", "healthy_threshold": 1, "unhealthy_threshold": 5}
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class TcpServer:
    """A server that answers each line with its name and the line.

    `tls`: its context, if it speaks TLS. `proxied`: each connection begins with a PROXY header of version 2, which is
    kept in `headers`: the client's address and port, or None for a check.
    """

    def __init__(self, name: str, *, tls: ssl.SSLContext | None = None, proxied: bool = False) -> None:
        self.name = name
        self.headers: list[tuple[str, int] | None] = []
        self._tls, self._proxied = tls, proxied
        self._port = 0
        self.listen()

    @property
    def port(self) -> int:
        return self._port

    @property
    def target(self) -> Target:
        return Target(id=self.name, address="127.0.0.1", port=self._port)

    def listen(self) -> None:
        """Accept connections, on the same port as before."""
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=256)
        self._port = self._socket.getsockname()[1]
        Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def end(self) -> None:
        """Refuse new connections. Those that are open stay."""
        # Closing alone would leave it listening while a thread waits in `accept`.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error), closing(raw):
            if self._proxied:
                self.headers.append(_proxy_header(raw))
            # A check ends at once, and Python leaves the TLS socket of such a connection open.
            if self._tls and not raw.recv(1, socket.MSG_PEEK):
                return
            with self._tls.wrap_socket(raw, server_side=True) if self._tls else raw as connection:
                self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Answer a connection until the client ends it."""
        with connection.makefile("rb") as lines:
            for line in lines:
                connection.sendall(f"{self.name} {line.decode()}".encode())


class Proxied(TcpServer):
    """A server that takes the PROXY header off each connection and passes the rest to another server."""

    def __init__(self, behind: RawServer) -> None:
        self._behind = behind
        super().__init__(behind.name, proxied=True)

    def serve(self, connection: socket.socket) -> None:
        with closing(socket.create_connection(("127.0.0.1", self._behind.port), timeout=DEADLINE)) as other:
            Thread(target=_copy, args=(other, connection), daemon=True).start()
            _copy(connection, other)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


def _proxy_header(connection: socket.socket) -> tuple[str, int] | None:
    head = connection.recv(16, socket.MSG_WAITALL)
    assert head.startswith(_SIGNATURE), head
    command, _, length = struct.unpack("!BBH", head[12:])
    body = connection.recv(length, socket.MSG_WAITALL) if length else b""
    if command & 0xF == 0:
        return None
    return socket.inet_ntoa(body[:4]), struct.unpack("!H", body[8:10])[0]


def set_reset(connection: socket.socket) -> None:
    """Let the end of a connection be a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """A client's connection."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self._lines = made.makefile("rb")
        self.address: tuple[str, int] = made.getsockname()

    def ask(self, text: str = "hello") -> str:
        """Send a line and return the name of the server that answered it. Raises `OSError` if the connection ended."""
        self._socket.sendall(f"{text}\n".encode())
        name, _, said = self._lines.readline().decode().partition(" ")
        if said != f"{text}\n":
            raise ConnectionError("the connection ended")
        return name

    def ends(self) -> bool:
        """Return True once the other side has closed it."""
        try:
            return self._lines.readline() == b""
        except OSError:
            return True

    def reset(self) -> None:
        """Let the end of the connection be a reset."""
        set_reset(self._socket)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Nlb(Alb):
    """A balancer in a separate directory, with one network load balancer `edge`."""

    def declare(  # type: ignore[override]
        self,
        *listeners: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        owner: str = OWNER,
        scheme: str = "internal",
        attributes: NetworkListenerAttributes | None = None,
        zones: Mapping[str, Any] | None = None,
        cross_zone: bool = False,
    ) -> None:
        """Declare target groups, checked quickly, and listeners; the first is on `port` where it names none.

        `attributes`: those of the first listener, which may have values that a declaration refuses.
        """
        made = listeners or ({},)
        found = [
            {"protocol": "TCP", "default_action": {"forward": "db"}, "port": self.port, **listener} for listener in made
        ]
        self._owners.add(owner)
        described = {
            name: {"protocol": "TCP", "port": 80, **group, "health_check": {**CHECK, **group.get("health_check", {})}}
            for name, group in (groups or {"db": {}}).items()
        }
        balanced = {"load_balancing.cross_zone.enabled": cross_zone}
        edge = {"type": "network", "scheme": scheme, "listeners": found, "zones": zones, "attributes": balanced}
        declared = Declaration.model_validate({"target_groups": described, "load_balancers": {"edge": edge}})
        if attributes:
            (first, *others), balancer = declared.load_balancers["edge"].listeners, declared.load_balancers["edge"]
            changed = first.model_copy(update={"attributes": attributes})
            balancer = balancer.model_copy(update={"listeners": (changed, *others)})
            declared = declared.model_copy(update={"load_balancers": {"edge": balancer}})
        self.balancer.apply(owner, declared)

    def targets(self, *names: str, group: str = "db", zone: str | None = None, **more: Any) -> list[TcpServer]:
        """Start TCP servers that are healthy targets of a group."""
        servers = [TcpServer(name, **more) for name in names]
        self.servers += servers  # type: ignore[arg-type]
        targets = [server.target.model_copy(update={"zone": zone}) for server in servers]
        self.balancer.register(OWNER, group, *targets)
        self.await_states(group, **dict.fromkeys(names, TargetState.HEALTHY))
        return servers

    def await_states(self, group: str = "db", **states: TargetState) -> None:
        """Wait until targets have these states."""
        until(lambda: self.states(group) >= states.items(), f"the states are {states}")

    def health(self, name: str, group: str = "db") -> TargetHealth:
        """Return the health of a target, after a reconciliation."""
        self.balancer.reconcile(OWNER, group)
        return next(h for h in self.balancer.target_health(OWNER, group) if h.target.id == name)

    @contextmanager
    def connection(
        self,
        port: int | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        name: str = "db.test",
        source: str = "",
        address: str = "127.0.0.1",
    ) -> Iterator[Connection]:
        """Open a connection. `name`: the name that a client requests by TLS."""
        raw = socket.create_connection(
            (address, port or self.port), timeout=20, source_address=(source or "127.0.0.1", 0)
        )
        with closing(raw):
            made = Connection(tls.wrap_socket(raw, server_hostname=name) if tls else raw)
            with closing(made):
                yield made

    def reached(self, number: int, **more: Any) -> list[str]:
        """Return the servers that answered as many new connections."""
        found = []
        for _ in range(number):
            with self.connection(**more) as made:
                found.append(made.ask())
        return found


@contextmanager
def network_balancer(directory: Path) -> Iterator[Nlb]:
    """Return a network load balancer with nothing declared yet."""
    nlb = Nlb(directory)
    try:
        yield nlb
    finally:
        nlb.end()
