"""All certificates of a balancer that authorities issue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pipeline.acme.authority import Authority
from pipeline.acme.issuer import Issuer
from pipeline.acme.proof import DnsProof, HttpProof, Proof
from pipeline.acme.state import CertificateFiles
from pipeline.balancer.acme_account import account_thumbprint
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.balancer.registry import Registry
from pipeline.base.clock import Clock
from pipeline.event_kinds import EventKind
from pipeline.events import Value

# Changes of what is declared wake the caller. This is for what is reported by nobody, and for a suspended machine.
_CHECK_INTERVAL = timedelta(minutes=10)

OpenAuthority = Callable[[AcmeCertificate, Path], Authority]
"""Opens the authority of a certificate, with the account of the balancer in a directory."""


class OwnersReport(Protocol):
    """Emits an event to the owners of listeners with a certificate."""

    def __call__(self, owners: frozenset[str], kind: EventKind, message: str, **fields: Value) -> None: ...


def wanted_certificates(registry: Registry) -> Mapping[AcmeCertificate, frozenset[str]]:
    """Return the certificates that authorities issue, each with the owners of its listeners.

    If several differ only in how they are requested, the first one counts.
    """
    first: dict[str, AcmeCertificate] = {}
    found: dict[AcmeCertificate, frozenset[str]] = {}
    for made in registry.certificates.values():
        if made.certificate.acme:
            wanted = first.setdefault(made.certificate.acme.id, made.certificate.acme)
            found[wanted] = found.get(wanted, frozenset()) | {made.owner}
    return found


class CertificateKeeper:
    """Requests and renews the certificates of a balancer. For one thread of one process of its home.

    `programs` is the folder with the programs that set records of DNS.
    """

    def __init__(
        self, balancer: Balancer, open_authority: OpenAuthority, programs: Path, report: OwnersReport, clock: Clock
    ) -> None:
        self._balancer = balancer
        self._open_authority = open_authority
        self._programs = programs
        self._report = report
        self._clock = clock
        self._files = CertificateFiles(balancer.directory)
        self._issuers: dict[AcmeCertificate, Issuer] = {}
        self._owners: Mapping[AcmeCertificate, frozenset[str]] | None = None
        self._due = 0.0

    def step(self) -> timedelta:
        """Do what is due for each certificate. Return the time until the next step. Raises `PenstockError`."""
        owners, now = wanted_certificates(self._balancer.registry()), self._clock.monotonic()
        if owners == self._owners and now < self._due:
            return timedelta(seconds=self._due - now)
        self._owners, self._due = owners, now
        self._issuers = {wanted: self._issuers.get(wanted) or self._issuer(wanted) for wanted in owners}
        self._files.remove_unused(owners, self._clock.now().wall)
        results = [issuer.step() for issuer in self._issuers.values()]
        if any(is_issued for _, is_issued in results):
            self._balancer.ensure_running()
        delay = min([_CHECK_INTERVAL, *(delay for delay, _ in results)])
        self._due = now + delay.total_seconds()
        return delay

    def _issuer(self, wanted: AcmeCertificate) -> Issuer:
        def report(kind: EventKind, message: str, **fields: Value) -> None:
            self._report((self._owners or {}).get(wanted, frozenset()), kind, message, **fields)

        authority = self._open_authority(wanted, self._balancer.directory)
        now = self._clock.now
        return Issuer(wanted, self._files, authority, self._proof(wanted), report, lambda: now().wall, set())

    def _proof(self, wanted: AcmeCertificate) -> Proof:
        if wanted.dns is None:
            return HttpProof(self._balancer.reconcile)
        return DnsProof(self._programs / wanted.dns, account_thumbprint(self._balancer.directory))
