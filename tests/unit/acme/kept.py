"""A certificate of a fake authority, at a time that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.acme.authority import AuthorityError, Challenge, ProofKind
from pipeline.acme.issuer import Issuer
from pipeline.acme.state import CertificateFiles, CertificateState
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.event_kinds import EventKind
from pipeline.events import Value
from pipeline.testing.fakes.authority import FakeAuthority

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class RecordedProof:
    """A proof that records what is in place."""

    kind: ProofKind = "http-01"

    def __init__(self) -> None:
        self.put_for: list[str] = []
        self.removed_for: list[str] = []
        self.removal_fails = False

    def put(self, challenges: tuple[Challenge, ...]) -> None:
        self.put_for += [each.domain for each in challenges]

    def remove(self, challenges: tuple[Challenge, ...]) -> None:
        if self.removal_fails:
            raise AuthorityError("the zone is locked")
        self.removed_for += [each.domain for each in challenges]


class Kept:
    """An issuer that may be replaced as after a kill, with its authority, its files and what it has reported."""

    def __init__(self, folder: Path, *domains: str) -> None:
        self.now = BEGIN
        self.wanted = AcmeCertificate(domains=domains or ("a.test",), terms_agreed=True)
        self.authority = FakeAuthority(lambda: self.now)
        self.proof = RecordedProof()
        self.files = CertificateFiles(folder)
        self.reported: list[tuple[EventKind, str, dict[str, Value]]] = []
        self.restart()

    def restart(self) -> None:
        """Continue with what is on disk."""
        self.issuer = Issuer(self.wanted, self.files, self.authority, self.proof, self._report, lambda: self.now, set())

    def _report(self, kind: EventKind, message: str, **fields: Value) -> None:
        self.reported.append((kind, message, fields))

    @property
    def kinds(self) -> list[EventKind]:
        """The kinds of events that were reported."""
        return [kind for kind, _, _ in self.reported]

    @property
    def state(self) -> CertificateState:
        """The state on disk."""
        return self.files.state(self.wanted)

    def step(self) -> timedelta:
        """Do one step. Return the time until the next."""
        return self.issuer.step()[0]

    def run(self, until: datetime, steps: int = 1000) -> None:
        """Do steps when they are due, until a time."""
        for _ in range(steps):
            delay = self.step()
            if self.now + delay > until:
                self.now = until
                return
            self.now += delay
        raise AssertionError(f"more than {steps} steps until {until}")

    def pass_time(self, by: timedelta) -> None:
        """Do what is due within a time."""
        self.run(self.now + by)
