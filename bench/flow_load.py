"""Connections at a steady rate to a TCP service that answers lines: `python -m bench.flow_load HOST PORT RATE`.

It runs until its input ends, and then prints a `FlowLoadReport` as JSON. One in `_SHARE` connections stays open.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.namespace import Namespace
from tests.support.paths import ROOT

SECONDS = 10.0
_SHARE, _TIMEOUT = 50, 20.0
# More than Linux's default, since a port of a closed connection is not used again for a minute.
_PORTS = "1024 65535"


@dataclass
class FlowLoadReport:
    """`lasting`: connections that were open for `SECONDS` until the client closed them.

    `seen`: how often the service saw a client's address. `refused`: connections that were not made, by reason.
    `broken`: those that ended before the client closed them.
    """

    made: int = 0
    lasting: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)


@contextmanager
def flow_load(client: Namespace, host: str, port: int, rate: float) -> Iterator[FlowLoadReport]:
    """Run the load in a namespace during the block. The report has its values after the block."""
    report = FlowLoadReport()
    client.set(ipv4__ip_local_port_range=_PORTS)
    with client.entered():
        command = [sys.executable, "-m", "bench.flow_load", host, str(port), str(rate)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield report
    finally:
        printed, _ = process.communicate()
        for name, value in json.loads(printed).items():
            setattr(report, name, Counter(value) if isinstance(value, dict) else value)


async def _run(host: str, port: int, rate: float) -> FlowLoadReport:
    report, ended = FlowLoadReport(), asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    began = due = time.monotonic()
    number = 0
    async with asyncio.TaskGroup() as group:
        while not ended.is_set():
            group.create_task(_connect(host, port, SECONDS if number % _SHARE == 0 else 0.0, report))
            number += 1
            due += 1 / rate
            await asyncio.sleep(due - time.monotonic())
        report.seconds = time.monotonic() - began
    return report


async def _connect(host: str, port: int, seconds: float, report: FlowLoadReport) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        report.refused[str(error) or "no answer"] += 1
        return
    report.made += 1
    until = time.monotonic() + seconds
    try:
        while True:
            async with asyncio.timeout(_TIMEOUT):
                report.seen[await _ask(reader, writer)] += 1
            if time.monotonic() >= until:
                break
            await asyncio.sleep(1)
    except OSError as error:
        report.broken[str(error) or "no answer"] += 1
    else:
        report.lasting += bool(seconds)
    writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Send a line, and return the client's address as the service sees it. Raises `OSError`."""
    writer.write(b"hello\n")
    if not (line := await reader.readline()):
        raise ConnectionResetError("closed by the service")
    return line.split()[1].decode()


if __name__ == "__main__":
    host, port, rate = sys.argv[1:]
    json.dump(vars(asyncio.run(_run(host, int(port), float(rate)))), sys.stdout)
