"""A tunnel to the engine of a host: a local socket, which ssh forwards to the engine's socket on that machine."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from pipeline.base.errors import EngineFault
from pipeline.base.files import make_folder
from pipeline.base.lock import short_lock
from pipeline.base.program import run_program
from pipeline.base.sockets import connection_to
from pipeline.engine.ssh.faults import no_answer, no_program, no_socket, not_started, path_too_long, ssh_fault
from pipeline.engine.ssh.session import OPTIONS, ssh_command
from pipeline.engine.ssh.tunnel_files import TunnelFiles
from pipeline.engine.ssh_address import SshAddress

# A lost connection is noticed within 6 s.
_FORWARD = (
    "-N",
    *("-o", "ExitOnForwardFailure=yes"),
    *("-o", "StreamLocalBindUnlink=yes"),
    *("-o", "ServerAliveInterval=2"),
    *("-o", "ServerAliveCountMax=2"),
)
_KEEPER = "pipeline.engine.ssh.keeper"
# What the engine of this machine would be. The tunnel replaces it.
_DOCKER = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_PING = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"
# Seconds: for the connection, for the first response of the engine, and for a command that asks why there is none.
_CONNECT_TIMEOUT, _ANSWER_TIMEOUT, _PROBE_TIMEOUT = 30.0, 10.0, 15.0
_POLL_INTERVAL = 0.01
# Bytes of a socket's path, without the zero at its end.
_MAX_PATH = 107


class Tunnel:
    """One user's share in the tunnel to the host `name`. Use it as a block, or `open` and `close` it.

    All processes of a home share one tunnel for each host and address. The first one starts it, and it ends with the
    last one, also if they are killed. A connection that is lost is established again while the tunnel has a user.
    """

    def __init__(self, folder: Path, name: str, address: SshAddress, environment: Mapping[str, str]) -> None:
        self._name = name
        self._address = address
        self._environment = environment
        # Another address of the same host is another tunnel.
        key = hashlib.sha256(str(address).encode()).hexdigest()[:8]
        self._files = TunnelFiles(folder.absolute(), f"{name}.{key}")
        self._share: int | None = None

    @property
    def path(self) -> str:
        """The path of its socket here."""
        return str(self._files.socket)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Docker's programs use the tunnel."""
        rest = {name: value for name, value in self._environment.items() if name not in _DOCKER}
        return {**rest, "DOCKER_HOST": f"unix://{self._files.socket}"}

    def check_path(self) -> None:
        """Raise `EngineFault` if the kernel allows no socket at its path."""
        if len(os.fsencode(self._files.socket)) > _MAX_PATH:
            raise path_too_long(self._name, self._address, str(self._files.socket), _MAX_PATH)

    def open(self) -> None:
        """Join the tunnel, and start it if there is none. Returns when the engine responds. Safe to repeat.

        Raises `EngineFault` with the cause and leaves the tunnel if it does not. Raises `LockHeld` if another process
        has been starting the tunnel for too long.
        """
        try:
            self._join()
            self._await_connection()
            self._check_answer()
        except OSError as error:
            self.close()
            raise not_started(self._name, self._address, error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the tunnel. Safe to repeat."""
        share, self._share = self._share, None
        if share is not None:
            os.close(share)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _join(self) -> None:
        if self._share is not None:
            return
        program = shutil.which("ssh", path=self._environment.get("PATH"))
        if program is None:
            raise no_program(self._name, self._address)
        self.check_path()
        make_folder(self._files.folder)
        with short_lock(self._files.lock):
            share = self._files.join()
            self._share = self._start(program) if share is None else share

    def _start(self, program: str) -> int:
        """Start a keeper and return the descriptor of its first user. Callers hold the lock."""
        files = self._files
        files.clear()
        with suppress(FileExistsError):
            os.mkfifo(files.users, 0o600)
        reader = os.open(files.users, os.O_RDONLY | os.O_NONBLOCK)
        try:
            share = os.open(files.users, os.O_WRONLY | os.O_NONBLOCK)
            forward = f"./{files.socket.name}:{self._address.socket}"
            command = (program, *OPTIONS, *_FORWARD, "-L", forward, *self._address.destination)
            keeper = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", _KEEPER, str(files.folder), files.name, *command],
                self._environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                # Ctrl-C is for the command, and the tunnel may have other users.
                setsid=True,
            )
            # The keeper continues in a child, so that it becomes no zombie of a process that lives longer.
            os.waitpid(keeper, 0)
        finally:
            os.close(reader)
        return share

    def _await_connection(self) -> None:
        deadline = time.monotonic() + _CONNECT_TIMEOUT
        while True:
            with suppress(OSError), connection_to(self._files.folder, self._files.socket.name, _ANSWER_TIMEOUT):
                return
            error = self._files.last_error()
            if error is not None:
                raise ssh_fault(self._name, self._address, error)
            if time.monotonic() > deadline:
                raise ssh_fault(self._name, self._address, "timed out")
            time.sleep(_POLL_INTERVAL)

    def _check_answer(self) -> None:
        """Raise `EngineFault` if the engine does not respond. The server opens its socket at each connection."""
        answer = b""
        try:
            with connection_to(self._files.folder, self._files.socket.name, _ANSWER_TIMEOUT) as connection:
                connection.sendall(_PING)
                answer = connection.recv(1024)
        except TimeoutError:
            raise no_answer(self._name, self._address, _ANSWER_TIMEOUT) from None
        except OSError:
            # The connection was lost at this moment, or the server closed it.
            pass
        if not answer:
            error = self._files.last_error()
            raise ssh_fault(self._name, self._address, error) if error else self._without_socket()

    def _without_socket(self) -> EngineFault:
        """Return why the server does not open the engine's socket, by a command there."""
        path = shlex.quote(self._address.socket)
        probe = f"if ! test -e {path}; then echo missing; elif ! test -w {path}; then echo denied; else echo open; fi"
        found = b""
        with suppress(OSError):
            found = run_program(ssh_command(self._address, probe), _PROBE_TIMEOUT, self._environment).stdout
        words = found.decode(errors="replace").split()
        return no_socket(self._name, self._address, words[-1] if words else "")
