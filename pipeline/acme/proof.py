"""Proofs that a domain is the user's, which an authority checks."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.acme.authority import AuthorityError, Challenge, ProofKind
from pipeline.balancer.environment import child_environment
from pipeline.base.errors import SystemFault
from pipeline.base.program import run_program

_TIMEOUT = 300.0


class Proof(Protocol):
    """A kind of proof. Each method may be repeated, and raises `AuthorityError`."""

    kind: ProofKind

    def put(self, challenges: Sequence[Challenge], /) -> None:
        """Put proofs in place. The authority can see them when this returns."""

    def remove(self, challenges: Sequence[Challenge], /) -> None:
        """Remove what `put` has left, also if another process has called it."""


class HttpProof:
    """A proof by HTTP. The balancer answers for every listed domain as long as it is listed.

    `reconcile` makes the data plane match what is declared, which it may not yet.
    """

    kind: ProofKind = "http-01"

    def __init__(self, reconcile: Callable[[], object]) -> None:
        self._reconcile = reconcile

    def put(self, _challenges: Sequence[Challenge]) -> None:
        """Make sure that the balancer answers."""
        try:
            self._reconcile()
        except SystemFault as fault:
            raise AuthorityError(f"the balancer cannot answer the authority: {fault.message}") from fault

    def remove(self, _challenges: Sequence[Challenge]) -> None:
        """Do nothing."""


class DnsProof:
    """A proof by a TXT record, which a program of the user sets and removes.

    The program is called as `PROGRAM set NAME VALUE` and `PROGRAM remove NAME VALUE`. It exits when the record can be
    seen. After `timeout` seconds it is killed.
    """

    kind: ProofKind = "dns-01"

    def __init__(self, program: Path, thumbprint: str, timeout: float = _TIMEOUT) -> None:
        self._program = program
        self._thumbprint = thumbprint
        self._timeout = timeout

    def put(self, challenges: Sequence[Challenge]) -> None:
        """Set the records, one after the other."""
        for challenge in challenges:
            self._run("set", challenge)

    def remove(self, challenges: Sequence[Challenge]) -> None:
        """Remove the records."""
        for challenge in challenges:
            self._run("remove", challenge)

    @staticmethod
    def record(challenge: Challenge, thumbprint: str) -> tuple[str, str]:
        """Return the name and the value of the record that proves a domain."""
        digest = hashlib.sha256(f"{challenge.token}.{thumbprint}".encode()).digest()
        return f"_acme-challenge.{challenge.domain}", urlsafe_b64encode(digest).decode().rstrip("=")

    def _run(self, verb: str, challenge: Challenge) -> None:
        command = [str(self._program), verb, *self.record(challenge, self._thumbprint)]
        try:
            done = run_program(command, self._timeout, child_environment())
        except TimeoutError as error:
            raise AuthorityError(f"{self._program} {verb}: {error}") from None
        except OSError as error:
            raise AuthorityError(f"cannot run {self._program}: {error.strerror}") from error
        if done.code:
            raise AuthorityError(f"{self._program} {verb} failed with exit code {done.code}: {done.complaint()}")
