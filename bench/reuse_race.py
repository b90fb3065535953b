"""Requests that meet the closing of a kept connection between the balancer and a target.

A server closes a connection that was idle for a second. A request may already be on its way to it then, and the
balancer cannot know whether it had an effect. Here many requests are sent at just that moment, again and again.
"""

from __future__ import annotations

import asyncio
import csv
import random
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure
from bench.penstock import penstock
from bench.results import Results
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.testing.load.client import Connection, RequestFailed

CLIENTS, TARGETS, IDLE = 100, 3, 1.0
# The requests of a round are sent this many seconds around the moment. The closing itself is about as imprecise.
_SPREAD = 0.004


def measure(extent: Extent) -> Results:
    """Send GETs and POSTs, on kept and on new client connections, and count those without a response."""
    requests = extent.choose(20_000, 800)
    rows, lost = [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        targets = [stack.enter_context(_closing_server()) for _ in range(TARGETS)]
        for method, kept in product(("GET", "POST"), (True, False)):
            directory = Path(folder) / f"{method}-{'kept' if kept else 'new'}"
            with penstock(directory, targets) as proxy:
                failures = asyncio.run(_race(proxy.port, method, kept=kept, rounds=requests // 2 // CLIENTS))
                retried = _retries(directory / "balancer")
            lost[method] += failures.total()
            how = ", ".join(f"{count} {reason}" for reason, count in failures.most_common())
            rows.append((method, "kept" if kept else "new", f"{requests // 2:,}", retried, str(failures.total()), how))
            print(rows[-1], file=sys.stderr)
    return Results.judged(
        "Kept connections that targets close",
        f"{TARGETS} targets close each connection {IDLE:g} s after its last response. {CLIENTS} clients send at once, "
        f"{IDLE:g} s after the median of the previous responses, each up to {_SPREAD * 1000:g} ms earlier or later at "
        "random. So each request may meet a connection that is just being closed. The balancer retried the requests "
        "that met one and may be repeated. No POST has an Idempotency-Key. The clients keep their connections to the "
        "balancer, or open a new one for each request.",
        ("method", "client connection", "requests", "retried", "lost", "how"),
        rows,
        [Figure(f"lost {method}s of {requests:,}", lost[method], 0) for method in ("GET", "POST")],
    )


def _retries(directory: Path) -> str:
    """Return how often the balancer has sent a request again."""
    table = Runtime(directory).ask_worker("show stat").removeprefix("# ").splitlines()
    backends = (row for row in csv.DictReader(table) if row["svname"] == "BACKEND")
    return str(sum(int(row["wretr"] or 0) for row in backends))


@contextmanager
def _closing_server() -> Iterator[int]:
    """Run a server that closes idle connections, in a process of its own so that it does so on time. Yield its port."""
    command = [sys.executable, "-m", "bench.closing_server", str(IDLE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate()


async def _race(port: int, method: str, *, kept: bool, rounds: int) -> Counter[str]:
    """Return how often requests failed, by the reason."""
    now, failures = asyncio.get_running_loop().time, Counter[str]()
    clients = [_Client(port, method, kept=kept) for _ in range(CLIENTS)]
    answered = await asyncio.gather(*(client.send(0, failures) for client in clients))
    for _ in range(rounds):
        moment = statistics.median(answered) + IDLE - now()
        delays = [moment + random.uniform(-_SPREAD, _SPREAD) for _ in clients]
        sending = (client.send(delay, failures) for client, delay in zip(clients, delays, strict=True))
        answered = await asyncio.gather(*sending)
    return failures


class _Client:
    """Sends one request at a time, on a connection that it keeps or on a new one."""

    def __init__(self, port: int, method: str, *, kept: bool) -> None:
        body = "" if method == "GET" else "order"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._port, self._kept = port, kept
        self._connection: Connection | None = None
        persistence = "keep-alive" if kept else "close"
        self._request = f"{method} / HTTP/1.1\r\nHost: a.test\r\n{length}Connection: {persistence}\r\n\r\n{body}"

    async def send(self, delay: float, failures: Counter[str]) -> float:
        """Send a request `delay` seconds from now, and return the time of the response."""
        await asyncio.sleep(delay)
        try:
            if self._connection is None or self._connection.closed:
                self._connection = await Connection.open("127.0.0.1", self._port)
            response = await self._connection.ask(self._request.encode())
            if response.status != 200:
                failures[f"status {response.status}"] += 1
        except RequestFailed as error:
            failures[str(error)] += 1
        if self._connection is not None and not self._kept:
            self._connection.close()
            self._connection = None
        return asyncio.get_running_loop().time()
