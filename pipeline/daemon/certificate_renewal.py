"""The certificates of the daemon's home: renewed in time, or reported before they expire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.event_kinds import EventKind
from pipeline.events import Value

if TYPE_CHECKING:
    from pipeline.certificates.renewal import Expiry

_CHECK_INTERVAL = timedelta(hours=1)
_REPORT_INTERVAL = timedelta(days=1)


class Emit(Protocol):
    """Emits an event."""

    def __call__(self, kind: EventKind, message: str, **fields: Value) -> None:
        """Emit an event."""


class CertificateRenewal:
    """Renews the certificates that the home's authority has issued, and reports others that expire, once a day.

    A home without certificates loads nothing of them.
    """

    def __init__(self, home: Home, emit: Emit, clock: Clock) -> None:
        self._home = home
        self._emit = emit
        self._clock = clock
        self._reported: dict[str, datetime] = {}

    def step(self) -> timedelta:
        """Look at all certificates. Return the time until the next call."""
        if not (self._home.aws / "certificates.json").exists():
            return _CHECK_INTERVAL
        from pipeline.certificates.renewal import renew
        from pipeline.certificates.store import CertificateStore

        now = self._clock.now().wall
        try:
            for found in renew(CertificateStore(self._home.aws), now):
                self._report(found, now)
        except PenstockError as error:
            retry_at = (now + _CHECK_INTERVAL).isoformat()
            text = f"certificates cannot be renewed: {error.message}"
            self._emit(EventKind.CERTIFICATE_FAILED, text, reason=error.message, retry_at=retry_at)
        return _CHECK_INTERVAL

    def _report(self, found: Expiry, now: datetime) -> None:
        names, day = ", ".join(found.names) or found.certificate.arn, found.expires.date()
        fields = {"domains": names, "expires": found.expires.isoformat()}
        if found.renewed:
            self._emit(EventKind.CERTIFICATE_ISSUED, f"renewed the certificate of {names}, until {day}", **fields)
            return
        last = self._reported.get(found.certificate.arn)
        if last is None or now - last >= _REPORT_INTERVAL:
            self._reported[found.certificate.arn] = now
            verb = "expires" if found.expires > now else "has expired"
            text = f"the certificate of {names} {verb} on {day}: import a new one under {found.certificate.arn}"
            self._emit(EventKind.CERTIFICATE_EXPIRING, text, **fields)
