"""The activator process: it holds connections of HAProxy for groups without a target, and passes them on to a target.

HAProxy sends it a request only while the group has no target. It reads the first part of the request and waits. When
the data plane names a target, it connects to it and passes bytes in both directions, so it need not know the protocol:
HTTP/1, HTTP/2, gRPC and websockets are the same to it. A request that it cannot pass on in time it closes, and HAProxy
responds 503. A reload of HAProxy changes nothing for what is held, because the worker that has sent it stays.

It imports only what it needs, and talks to HAProxy and the data plane over Unix sockets.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import socket
import ssl
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path

from pipeline.balancer.haproxy.activator.counts import CountWriter, HoldingCounts, process_name
from pipeline.balancer.haproxy.activator.pipe import Side, join
from pipeline.balancer.haproxy.activator.table import HoldingGroup, HoldingTable
from pipeline.balancer.haproxy.naming import (
    ACTIVATOR_FOLDER,
    ACTIVATOR_SOCKET,
    CONTROL_PREFIX,
    MAX_HELD,
    STATE_SOCKET,
    holding_socket,
)
from pipeline.balancer.haproxy.worker_user import admit_workers
from pipeline.base.sockets import has_input

_BACKLOG = 1024
_CONNECT_TIMEOUT = 1.0
# After a target has refused the connection.
_RETRY_INTERVAL = 0.1
# For changes of the table of which no command tells: an activator that is being replaced gets none.
_CHECK_INTERVAL = 0.25
# A daemon that was busy may have missed a report, so it is repeated after so many checks.
_CHECKS_FOR_REPORT = 4


class Activator:
    """The requests of all groups. `directory` is the working directory."""

    def __init__(self, directory: Path) -> None:
        self._table = HoldingTable(directory)
        self._writer = CountWriter(directory)
        self._counts = defaultdict[str, HoldingCounts](HoldingCounts)
        self._sockets: dict[str, tuple[socket.socket, asyncio.Server]] = {}
        self._held: set[Side] = set()
        self._passed: defaultdict[str, set[Side]] = defaultdict(set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._control: asyncio.Server | None = None
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, then until the last request has ended."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ending.set)
        # Before it passes anything on, so that nothing is left out of an `abort`.
        own = Path(ACTIVATOR_FOLDER, f"{CONTROL_PREFIX}{process_name(os.getpid())}")
        await asyncio.start_unix_server(self._obey, sock=_listener(own))
        await self._sync()
        draft = _draft(ACTIVATOR_SOCKET)
        self._control = await asyncio.start_unix_server(self._obey, sock=_listener(draft))
        # The socket gets its name only after it listens, so a client that finds it can connect.
        draft.rename(ACTIVATOR_SOCKET)
        await self._ending.wait()
        await self._leave()
        while self._tasks:
            await asyncio.wait(self._tasks)
        own.unlink(missing_ok=True)

    async def _leave(self) -> None:
        """Accept the connections that were made before a successor took the names, and no more."""
        while has_input(*(listener for listener, _ in self._sockets.values())):
            await asyncio.sleep(0)
        if self._control is not None:
            self._control.close()
        for _, server in self._sockets.values():
            server.close()

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Execute the command of a connection. One without a command only asks whether the process runs."""
        with suppress(ConnectionError):
            name, _, endpoint = (await reader.readline()).decode().strip().partition(" ")
            if name == "sync":
                await self._sync()
            elif name == "abort":
                for side in tuple(self._passed[endpoint]):
                    side.abort()
            if name:
                writer.write(b"done\n")
                await writer.drain()
        writer.close()

    async def _sync(self) -> None:
        """Listen for exactly the groups of the table, and let what is held look for a target."""
        groups = self._table.groups()
        for group in groups.keys() - self._sockets.keys():
            draft = _draft(holding_socket(group))
            listener = _listener(draft)
            accept = partial(self._accept, group)
            server = await asyncio.get_running_loop().create_unix_server(accept, sock=listener)
            admit_workers(draft)
            draft.rename(holding_socket(group))
            self._sockets[group] = listener, server
        for group in self._sockets.keys() - groups.keys():
            self._sockets.pop(group)[1].close()
            Path(holding_socket(group)).unlink(missing_ok=True)
        self._wake()

    def _accept(self, group: str) -> Side:
        side = Side(lambda: self._begin(group, side))
        return side

    def _begin(self, group: str, side: Side) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(group, side))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, group: str, side: Side) -> None:
        counts = self._counts[group]
        if counts.held >= MAX_HELD:
            side.abort()
            return
        self._keep(side)
        counts.held += 1
        self._writer.write(group, counts)
        endpoint = None
        try:
            if counts.held == 1:
                self._report(group)
            endpoint, target = await self._hold(group, side)
            if target is not None:
                join(side, target)
                await side.closed.wait()
        finally:
            side.close()
            self._forget(group, side, endpoint)

    async def _hold(self, group: str, side: Side) -> tuple[str | None, Side | None]:
        """Return the endpoint and the connection to the target that takes a request, None if there is none in time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            side.woken.clear()
            found = self._table.groups().get(group)
            if found is None or side.has_ended:
                return None, None
            for address, port in random.sample(found.targets, len(found.targets)):
                endpoint = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
                # Counted first: a drain that follows waits for it.
                self._pass(group, side, endpoint)
                if target := await _connected(found, address, port):
                    return endpoint, target
                self._take_back(group, side, endpoint)
            left = begun + found.hold_time - loop.time()
            if left <= 0:
                return None, None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _RETRY_INTERVAL) if found.targets else left):
                    await side.woken.wait()

    def _pass(self, group: str, side: Side, endpoint: str) -> None:
        counts = self._counts[group]
        self._held.discard(side)
        self._passed[endpoint].add(side)
        counts.held -= 1
        counts.passed[endpoint] += 1
        self._writer.write(group, counts)

    def _take_back(self, group: str, side: Side, endpoint: str) -> None:
        counts = self._counts[group]
        self._passed[endpoint].discard(side)
        self._keep(side)
        counts.passed[endpoint] -= 1
        counts.held += 1
        self._writer.write(group, counts)

    def _forget(self, group: str, side: Side, endpoint: str | None) -> None:
        counts = self._counts[group]
        if endpoint is None:
            self._held.discard(side)
            counts.held -= 1
        else:
            self._passed[endpoint].discard(side)
            counts.passed[endpoint] -= 1
        counts.passed = Counter({name: count for name, count in counts.passed.items() if count})
        self._writer.write(group, counts)

    def _keep(self, side: Side) -> None:
        self._held.add(side)
        self._watching = self._watching or asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Look for changes of the table, and report what waits, while something is held."""
        checks = 0
        while self._held:
            await asyncio.sleep(_CHECK_INTERVAL)
            self._wake()
            checks += 1
            for group, counts in self._counts.items():
                if counts.held and checks % _CHECKS_FOR_REPORT == 0:
                    self._report(group)
        self._watching = None

    def _wake(self) -> None:
        for side in self._held:
            side.woken.set()

    def _report(self, group: str) -> None:
        """Tell the daemon that requests are held, as HAProxy tells it of targets. Without a daemon, nobody hears it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as report, suppress(OSError):
            report.setblocking(False)
            report.sendto(f"Server {group}/held is HOLDING".encode(), STATE_SOCKET)


async def _connected(group: HoldingGroup, address: str, port: int) -> Side | None:
    """Return a connection to a target, or None if it does not accept one."""
    context = None
    if group.secure:
        # Like HAProxy, it does not verify the certificates of targets.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if group.http2:
            context.set_alpn_protocols(["h2"])
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            _, side = await asyncio.get_running_loop().create_connection(
                lambda: Side(lambda: None), address, port, ssl=context
            )
            return side
    return None


def _draft(name: str) -> Path:
    return Path(f".{name}.{os.getpid()}")


def _listener(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def serve(directory: Path) -> None:
    """Serve the groups of a balancer's directory until SIGTERM."""
    os.chdir(directory)
    # Each request that is passed on has two connections.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def run() -> None:
        await Activator(Path()).run()

    asyncio.run(run())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
