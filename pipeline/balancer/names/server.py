"""The DNS server for the names of load balancers, over UDP and TCP."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from typing import Any

from pipeline.balancer.names.directory import Directory
from pipeline.balancer.names.lookup import Lookup
from pipeline.balancer.names.node import Address
from pipeline.balancer.names.query import Query
from pipeline.base.errors import ConfigError

_STOP_TIMEOUT = 5.0
# Seconds for the next query of a TCP connection, and the number of connections.
_IDLE_TIMEOUT, _MAX_CONNECTIONS = 10.0, 100
# Queries over UDP whose answers are being made. More are dropped, as a full socket drops them.
_MAX_PENDING = 1000
_MAX_QUERY = 65535
# From Linux's in.h. Python has no name for it.
_IP_PKTINFO = 8
# Level, type and data, as `recvmsg` and `sendmsg` have them.
_Ancillary = tuple[int, int, bytes]


def udp_socket(listener: socket.socket) -> socket.socket:
    """Return a UDP socket at the address and port of a TCP one. Raises `ConfigError`."""
    place = listener.getsockname()
    udp = socket.socket(listener.family, socket.SOCK_DGRAM)
    try:
        if listener.family == socket.AF_INET6:
            only = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        udp.bind(place)
    except OSError as error:
        udp.close()
        taken = "the address is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise ConfigError(f"cannot listen at {place[0]}:{place[1]} over UDP: {taken}") from error
    udp.setblocking(False)
    return udp


@contextmanager
def name_server(read: Callable[[], Directory], listener: socket.socket) -> Iterator[None]:
    """Answer DNS queries at the address of a TCP socket, which it closes, in a thread until the block ends.

    `read` is called for queries, at most once a second. Raises `ConfigError` if the UDP port is in use.
    """
    server = _NameServer(read, listener, udp_socket(listener))
    thread = threading.Thread(target=server.run, name="names", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(_STOP_TIMEOUT)


class _NameServer:
    def __init__(self, read: Callable[[], Directory], listener: socket.socket, udp: socket.socket) -> None:
        self._lookup = Lookup(read)
        self._listener = listener
        self._udp = udp
        self._draw = random.Random()  # noqa: S311  # it spreads clients over nodes
        self._pending = set[asyncio.Task[None]]()
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    def stop(self) -> None:
        """Request the end of `run`. Safe to call from any thread."""
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._ending.set)

    async def _run(self) -> None:
        with self._udp:
            self._loop.add_reader(self._udp, self._receive)
            server = await asyncio.start_server(self._converse, sock=self._listener)
            await self._ending.wait()
            # Open connections end with the loop.
            server.close()
            self._loop.remove_reader(self._udp)

    def _receive(self) -> None:
        """Take a query over UDP."""
        try:
            wire, place, _, sender = self._udp.recvmsg(_MAX_QUERY, socket.CMSG_SPACE(20))
        except OSError:
            return
        if len(self._pending) < _MAX_PENDING:
            self._start(self._reply(wire, [_source(*part) for part in place], sender))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _reply(self, wire: bytes, source: list[_Ancillary], sender: tuple[Any, ...]) -> None:
        response = await self._answer(wire, sender[0], udp=True)
        if response:
            # A client that has gone, or a full socket, loses the response, as the network may.
            with suppress(OSError):
                self._udp.sendmsg([response], source, 0, sender)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of a TCP connection, one after another."""
        self._connections += 1
        is_allowed = self._connections <= _MAX_CONNECTIONS
        try:
            sender = writer.get_extra_info("peername")[0]
            while is_allowed:
                async with asyncio.timeout(_IDLE_TIMEOUT):
                    size = int.from_bytes(await reader.readexactly(2))
                    response = await self._answer(await reader.readexactly(size), sender, udp=False)
                    if not response:
                        return
                    writer.write(len(response).to_bytes(2) + response)
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            # The client has closed the connection, or sends nothing.
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, wire: bytes, sender: str, *, udp: bool) -> bytes | None:
        query = Query.from_wire(wire)
        if query is None:
            return None
        # A resolver may send all names here, and refusing most of them must cost little.
        directory = await self._lookup.directory() if query.needs_names else None
        return query.response(_address(sender), directory, udp=udp, draw=self._draw)


def _address(text: str) -> Address:
    """Return the address of a client. On a socket for both IP versions, an IPv4 client has an IPv6 address too."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _source(level: int, kind: int, data: bytes) -> _Ancillary:
    """Turn the local address of a query into the source of its response.

    Without it, the response would come from the address of the route to the client, which then ignores it.
    """
    if level == socket.IPPROTO_IPV6:
        # struct in6_pktinfo. Only a link-local address needs its interface: others may leave by another one.
        return level, kind, data if IPv6Address(data[:16]).is_link_local else data[:16] + bytes(4)
    # struct in_pktinfo. Its second field is the source.
    return level, kind, bytes(4) + data[4:8] + bytes(4)
