"""Starts programs by forking a Python that has imported what they use. That takes a tenth of the time of a new Python.

Each is a process of its own: it can be killed, and nothing is left of it in the next one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO

from tests.support.measured import SUBPROCESSES
from tests.support.paths import ROOT
from tests.support.sample import FULL
from tests.support.waiting import COMMAND_TIMEOUT

_SHARE = 8
_NETWORK = Path("/proc/thread-self/ns/net")
_HERE = _NETWORK.readlink()


def may_fork() -> bool:
    """Return whether the programs of the test that runs may be forks.

    One test in eight starts each program by a new Python. So does a full run, a test whose programs are measured, and
    a thread in another network.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    starts_anew = FULL or SUBPROCESSES in os.environ or zlib.crc32(test.encode()) % _SHARE == 0
    return not starts_anew and _NETWORK.readlink() == _HERE


class ForkServer:
    """One such Python, which ends with this process."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        unmeasured = {name: value for name, value in os.environ.items() if name != SUBPROCESSES}
        command = [sys.executable, "-m", "tests.support.fork_server_process", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(command, cwd=ROOT, env=unmeasured, pass_fds=[theirs.fileno()])

    def run(
        self, program: Sequence[str], folder: Path, environment: Mapping[str, str], deadline: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end: `-m` and a module, or a script, and its arguments.

        After `deadline` seconds it is killed, and this raises `TimeoutError`. Raises `AssertionError` if the server has
        ended. What it has printed is among the output of the test that started it.
        """
        is_module = program[0] == "-m"
        described = {
            "module": program[1] if is_module else None,
            "script": None if is_module else program[0],
            "arguments": list(program[2 if is_module else 1 :]),
            "folder": str(folder),
            "environment": dict(environment),
        }
        mine, theirs = socket.socketpair()
        with mine, tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            with theirs:
                descriptors = [output.fileno(), errors.fileno(), theirs.fileno()]
                with suppress(BrokenPipeError):
                    socket.send_fds(self._channel, [json.dumps(described).encode()], descriptors)
            try:
                code = _exit_code(mine, deadline)
            except EOFError:
                raise AssertionError(f"the fork server ended with {self._process.wait(deadline)}") from None
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(program, code, output.read(), errors.read())

    def close(self) -> None:
        """End it, unless it has ended."""
        self._channel.close()
        self._process.wait(COMMAND_TIMEOUT)


def _exit_code(connection: socket.socket, deadline: float) -> int:
    """Wait for the end of a program, and kill it if the wait is cut short."""
    connection.settimeout(deadline)
    with connection.makefile() as reports:
        pid = _number(reports)
        try:
            return _number(reports)
        except BaseException:
            # It may have ended in this moment.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise


def _number(reports: TextIO) -> int:
    line = reports.readline()
    if not line:
        raise EOFError
    return int(line)


@cache
def fork_server() -> ForkServer:
    """Return the server of this process, started when it is first asked for."""
    return ForkServer()
