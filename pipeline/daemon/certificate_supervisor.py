"""The certificates of the daemon's balancer that authorities issue."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pipeline.balancer.balancer import Balancer
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError

if TYPE_CHECKING:
    from pipeline.acme.keeper import CertificateKeeper, OwnersReport

# A change of what is declared wakes the job, so these are for what is not reported.
_IDLE_INTERVAL = timedelta(minutes=10)
_RETRY_INTERVAL = timedelta(minutes=1)
_logger = structlog.get_logger(__name__)


class CertificateSupervisor:
    """Requests and renews certificates, as a job of the daemon's scheduler.

    What asks authorities is loaded when a listener has such a certificate.
    """

    def __init__(self, balancer: Balancer, programs: Path, report: OwnersReport, clock: Clock) -> None:
        self._balancer = balancer
        self._programs = programs
        self._report = report
        self._clock = clock
        self._keeper: CertificateKeeper | None = None

    def step(self) -> timedelta:
        """Do what is due. Return the time until the next call."""
        try:
            if self._keeper is None and not self._is_needed():
                return _IDLE_INTERVAL
            return self._loaded().step()
        except PenstockError as error:
            # A full disk or a damaged registry. Others report it.
            _logger.warning("certificates are not kept", error=str(error))
            return _RETRY_INTERVAL

    def _is_needed(self) -> bool:
        return any(made.certificate.acme for made in self._balancer.registry().certificates.values())

    def _loaded(self) -> CertificateKeeper:
        if self._keeper is None:
            from pipeline.acme.client import open_authority
            from pipeline.acme.keeper import CertificateKeeper

            self._keeper = CertificateKeeper(self._balancer, open_authority, self._programs, self._report, self._clock)
        return self._keeper
