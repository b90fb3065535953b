"""The process of `ForkServer`: a Python that has imported what commands use, and forks itself for each program."""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What `run`, `status` and the commands that change a deployment import, most of it when they need it.
_IMPORTED = (
    *(f"pipeline.cli.{name}" for name in ("run", "status", "rollback", "restart", "scale", "recover", "down")),
    *("pipeline.cli.program", "pipeline.engine.docker.engine", "pipeline.engine.docker.console"),
    *("pipeline.engine.hosts_runtime", "pipeline.runner.local", "pipeline.http.status_report"),
    *("stages.source", "stages.build", "stages.deploy"),
)
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Program:
    """A module or the file of a script, its arguments, its folder and its whole environment."""

    module: str | None
    script: str | None
    arguments: list[str]
    folder: str
    environment: dict[str, str]

    def run(self) -> None:
        """Run it as this process."""
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.argv = [self.script or "", *self.arguments]
        if self.module:
            sys.path[0] = self.folder
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        elif self.script:
            sys.path[0] = str(Path(self.script).parent)
            runpy.run_path(self.script, run_name="__main__")


class _Forks:
    """The processes that run, each with the connection that is told its id and then its exit code."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._running: dict[int, tuple[int, socket.socket]] = {}
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)

    def serve(self) -> Program | None:
        """Fork for each program. Return it in the forked process, and None when the other end is closed."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._running:
                    self._end(descriptor)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._channel, _LONGEST, 3)
                if not message:
                    return None
                if self._fork(*descriptors):
                    return Program(**json.loads(message))

    def _fork(self, output: int, errors: int, reports_to: int) -> bool:
        """Return whether this is the forked process."""
        pid = os.fork()
        if not pid:
            os.dup2(output, 1)
            os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        connection = socket.socket(fileno=reports_to)
        if pid:
            _report(connection, pid)
            ended = os.pidfd_open(pid)
            self._running[ended] = pid, connection
            self._poll.register(ended, select.POLLIN)
            return False
        # The objects close their files too, and later would close what the program has opened under the same numbers.
        for connected in (self._channel, connection, *(connected for _, connected in self._running.values())):
            connected.close()
        for ended in self._running:
            os.close(ended)
        return True

    def _end(self, ended: int) -> None:
        pid, connection = self._running.pop(ended)
        self._poll.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
        with connection:
            _report(connection, os.waitstatus_to_exitcode(status))


def _report(connection: socket.socket, number: int) -> None:
    # Nobody may wait for it any longer.
    with suppress(BrokenPipeError):
        connection.sendall(f"{number}\n".encode())


def _prepared(number: int) -> Program | None:
    for name in _IMPORTED:
        importlib.import_module(name)
    # The forked processes share what is here, as long as the garbage collector does not look through it.
    gc.collect()
    gc.freeze()
    return _Forks(socket.socket(fileno=number)).serve()


if __name__ == "__main__":
    program = _prepared(int(sys.argv[1]))
    if program is not None:
        program.run()
