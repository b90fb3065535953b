"""Clients and servers whose packets pass a gateway load balancer. A server answers with the address that it sees."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from tests.support.geneve_packets import checksum
from tests.support.namespace import Namespace

Transport = Literal["tcp", "udp", "icmp"]
PORT = 7000
_NUMBERS = {("tcp", 4): 6, ("tcp", 6): 6, ("udp", 4): 17, ("udp", 6): 17, ("icmp", 4): 1, ("icmp", 6): 58}
# An echo request and its reply.
_ECHO = {4: (8, 0), 6: (128, 129)}
_AT_ONCE = 64
_ATTEMPTS = 4


@dataclass(frozen=True, order=True)
class Flow:
    """Both directions of a flow: the protocol's number, and both ends with their ports (0 without)."""

    protocol: int
    ends: tuple[tuple[str, int], tuple[str, int]]

    @classmethod
    def of(cls, protocol: int, one: tuple[str, int], other: tuple[str, int]) -> Self:
        """Return the flow of a packet. That of its answer is equal."""
        first, second = sorted((one, other))
        return cls(protocol, (first, second))


@dataclass
class Outcome:
    """What became of flows. `wrong`: the server saw another address than the client's. `lost`: no answer came."""

    answered: list[Flow] = field(default_factory=list)
    lost: list[Flow] = field(default_factory=list)
    wrong: list[tuple[Flow, str]] = field(default_factory=list)


class Servers:
    """Answers each line by TCP and each datagram by UDP with the client's address and port. Echo is the kernel's own.

    Runs in a thread, in the namespace, until the block ends.
    """

    def __init__(self, namespace: Namespace, addresses: Sequence[str], port: int = PORT) -> None:
        self._namespace, self._addresses, self._port = namespace, addresses, port
        self._loop = asyncio.new_event_loop()
        self._stop, self._ready = asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30), "the servers did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with self._namespace.entered():
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as opened:
            for address in self._addresses:
                server = await asyncio.start_server(_answer_lines, address, self._port, backlog=4096)
                await opened.enter_async_context(server)
                transport, _ = await self._loop.create_datagram_endpoint(_Datagrams, (address, self._port))
                opened.callback(transport.close)
            self._ready.set()
            await self._stop.wait()
            answering = asyncio.all_tasks() - {asyncio.current_task()}
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)
            # A connection that was aborted is closed in the next turn of the loop.
            await asyncio.sleep(0)


async def _answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer = writer.get_extra_info("peername")
    try:
        with contextlib.suppress(OSError):
            while await reader.readline():
                writer.write(f"{peer[0]} {peer[1]}\n".encode())
                await writer.drain()
    finally:
        # Its way may be gone already, and what is not sent by now never is.
        writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(f"{addr[0]} {addr[1]}\n".encode(), addr)


class Client:
    """Opens flows from a namespace. Flow N comes from the address N of `addresses`, counted around."""

    def __init__(self, namespace: Namespace, addresses: Sequence[str]) -> None:
        self.namespace, self.addresses = namespace, addresses

    def open(self, server: str, source: str, *, timeout: float = 10, port: int = PORT) -> HeldFlow:
        """Open a connection that stays open. `timeout`: seconds for each step. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with self.namespace.entered():
            opened = socket.socket(family, socket.SOCK_STREAM)
        opened.settimeout(timeout)
        opened.bind((source, 0))
        try:
            opened.connect((server, port))
        except OSError:
            opened.close()
            raise
        return HeldFlow(opened)

    def send(self, transport: Transport, servers: Sequence[str], flows: int, *, timeout: float = 5) -> Outcome:
        """Open flows, at most 64 at a time, and ask for one answer on each. `timeout`: seconds for an answer.

        The ends of each flow are of one family. A datagram and an echo are sent four times before they count as lost.
        """
        pairs = [
            (source, server) for source in self.addresses for server in servers if (":" in source) == (":" in server)
        ]
        outcome = Outcome()
        with self.namespace.entered():
            asyncio.run(_send(transport, [pairs[number % len(pairs)] for number in range(flows)], timeout, outcome))
        return outcome


class HeldFlow:
    """A connection that stays open."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.flow = Flow.of(6, opened.getsockname()[:2], opened.getpeername()[:2])

    def ask(self, text: str = "") -> str:
        """Return the answer of the server to a line. Raises `OSError` if none comes in time."""
        self.socket.sendall(f"{text}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionResetError("the server has closed the connection")
            answer += more
        return answer.decode().strip()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


async def _send(transport: Transport, pairs: Sequence[tuple[str, str]], timeout: float, outcome: Outcome) -> None:
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, source: str, server: str) -> None:
        async with free:
            flow, seen = await _flow(transport, source, server, number, timeout)
        if seen is None:
            outcome.lost.append(flow)
        elif seen != source:
            outcome.wrong.append((flow, seen))
        else:
            outcome.answered.append(flow)

    await asyncio.gather(*(one(number, *pair) for number, pair in enumerate(pairs)))


async def _flow(transport: Transport, source: str, server: str, number: int, timeout: float) -> tuple[Flow, str | None]:
    """Open one flow and close it. Return it with the address that the server saw, or None without an answer."""
    version = 6 if ":" in server else 4
    protocol = _NUMBERS[transport, version]
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    if transport == "icmp":
        kind, number_of = socket.SOCK_RAW, protocol
    else:
        kind, number_of = (socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM), 0
    with socket.socket(family, kind | socket.SOCK_NONBLOCK, number_of) as opened:
        opened.bind((source, 0))
        port = opened.getsockname()[1] if transport != "icmp" else 0
        flow = Flow.of(protocol, (source, port), (server, PORT if port else 0))
        try:
            if transport == "icmp":
                return flow, await _echo(opened, server, version, number, timeout)
            return flow, await _line(opened, server, timeout, attempts=1 if transport == "tcp" else _ATTEMPTS)
        except OSError:
            return flow, None


async def _line(opened: socket.socket, server: str, timeout: float, attempts: int) -> str | None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        await loop.sock_connect(opened, (server, PORT))
    for attempt in range(attempts):
        await loop.sock_sendall(opened, b"hello\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout / attempts * (1 + attempt / attempts)):
                return (await loop.sock_recv(opened, 4096)).decode().split(" ")[0] or None
    return None


async def _echo(opened: socket.socket, server: str, version: int, number: int, timeout: float) -> str | None:
    """Send an echo request. Its reply comes to the address of the client, which is thus the one that the server saw."""
    loop = asyncio.get_running_loop()
    request, reply = _ECHO[version]
    identity = struct.pack("!HH", number & 0xFFFF, number >> 16)
    packet = struct.pack("!BBH", request, 0, 0) + identity + b"penstock"
    if version == 4:
        packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
    opened.connect((server, 0))
    for _ in range(_ATTEMPTS):
        await loop.sock_sendall(opened, packet)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout / _ATTEMPTS):
                while True:
                    answer = await loop.sock_recv(opened, 4096)
                    icmp = answer[(answer[0] & 0x0F) * 4 :] if version == 4 else answer
                    if icmp[0] == reply and icmp[4:8] == identity:
                        return str(opened.getsockname()[0])
    return None


class SteadyFlows:
    """New connections of TCP at a steady rate, from a thread, while its block runs. Each asks one question.

    `slowest` is the longest time of one, in seconds.
    """

    def __init__(self, client: Client, servers: Sequence[str], rate: float, *, timeout: float = 30) -> None:
        self.outcome = Outcome()
        self.slowest = 0.0
        self._client, self._servers, self._rate, self._timeout = client, servers, rate, timeout
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with self._client.namespace.entered():
            asyncio.run(self._open_all())

    async def _open_all(self) -> None:
        begun, number = time.monotonic(), 0
        pairs = [
            (one, other) for one in self._client.addresses for other in self._servers if (":" in one) == (":" in other)
        ]
        async with asyncio.TaskGroup() as flows:
            while not self._over.is_set():
                flows.create_task(self._one(*pairs[number % len(pairs)]))
                number += 1
                # One that is late is made up for.
                await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))

    async def _one(self, source: str, server: str) -> None:
        begun = time.monotonic()
        flow, seen = await _flow("tcp", source, server, 0, self._timeout)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        if seen is None:
            self.outcome.lost.append(flow)
        elif seen != source:
            self.outcome.wrong.append((flow, seen))
        else:
            self.outcome.answered.append(flow)
