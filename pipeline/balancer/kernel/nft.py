"""nft in a child process: scripts go in, listings come out."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from pipeline.balancer.kernel.faults import denied, library_missing
from pipeline.balancer.kernel.nft_child import HEADER, LENGTH
from pipeline.base.errors import BalancerFault

_PROGRAM = Path(__file__).with_name("nft_child.py")
# Shorter than what the clients of the flow agent wait.
_TIMEOUT = 5.0
# The text of the C library for EPERM.
_DENIED = "Operation not permitted"


class NftError(BalancerFault):
    """nft rejected a script, and nothing was changed. The message has its first reason."""


class Nft:
    """The child process that runs scripts of nft. It is started when first needed, and again after its death.

    For one thread at a time. It works in the network namespace of the thread that starts it.
    """

    def __init__(self, program: Path = _PROGRAM, timeout: float = _TIMEOUT) -> None:
        self._program = program
        self._timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, script: str) -> str:
        """Carry out a script as one atomic change, and return its output.

        Raises `NftError` if it was rejected, and `BalancerFault` if the child cannot be started or dies, or after
        `timeout` seconds. Then the change was made as a whole or not at all.
        """
        data = script.encode()
        status, text = self._exchange(self._running(), LENGTH.pack(len(data)) + data)
        if status:
            raise _rejection(text)
        return text

    def close(self) -> None:
        """End the child. The tables stay. The next `run` starts another."""
        if (child := self._child) is None:
            return
        self._child = None
        child.kill()
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            stream.close()
        child.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        self._child = child = _start(self._program)
        status, text = self._exchange(child, b"")
        if status:
            self.close()
            raise library_missing(text)
        return child

    def _exchange(self, child: subprocess.Popen[bytes], data: bytes) -> tuple[int, str]:
        """Send a request, or nothing, and return the status and the text of the response."""
        assert child.stdin is not None
        assert child.stdout is not None
        requests, responses, deadline = child.stdin.fileno(), child.stdout.fileno(), time.monotonic() + self._timeout
        try:
            rest = memoryview(data)
            while rest:
                self._wait(requests, select.POLLOUT, deadline)
                rest = rest[os.write(requests, rest) :]
            status, length = HEADER.unpack(self._read(responses, HEADER.size, deadline))
            return status, self._read(responses, length, deadline).decode(errors="replace")
        except OSError as error:
            raise self._fault(child, error) from None

    def _read(self, descriptor: int, size: int, deadline: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._wait(descriptor, select.POLLIN, deadline)
            if not (part := os.read(descriptor, size - len(found))):
                raise ConnectionError("the process died")
            found += part
        return bytes(found)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(f"no response within {self._timeout:g} s")

    def _fault(self, child: subprocess.Popen[bytes], error: OSError) -> BalancerFault:
        self.close()
        code = child.returncode
        reason = f"killed by signal {-code}" if code < 0 and not isinstance(error, TimeoutError) else str(error)
        return BalancerFault(f"nftables: {reason}")


def _start(program: Path) -> subprocess.Popen[bytes]:
    # A session of its own, so that Ctrl-C in a terminal does not end it in the middle of a change.
    command = [sys.executable, "-I", "-S", str(program)]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, bufsize=0, start_new_session=True)
    except OSError as error:
        raise BalancerFault(f"nftables: cannot start {sys.executable}: {error.strerror}") from None
    assert child.stdin is not None
    # A child that hangs reads nothing, and a write must not wait for it longer than for a response.
    os.set_blocking(child.stdin.fileno(), False)
    return child


def _rejection(text: str) -> BalancerFault:
    """Return the error for what nft printed."""
    if _DENIED in text:
        return denied()
    reason = text.partition("\n")[0].removeprefix("Error: ") or "rejected without a reason"
    return NftError(f"nftables: {reason}")
