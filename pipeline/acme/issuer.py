"""One certificate, taken from step to step until it is issued, and again for each renewal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from pipeline.acme.authority import Authority, AuthorityError, Order
from pipeline.acme.decision import Download, Finalize, GiveUp, Prove, Wait, decide
from pipeline.acme.keys import new_key, signing_request, validity
from pipeline.acme.proof import Proof
from pipeline.acme.schedule import expires_soon, next_try, renewal_time, retry_time
from pipeline.acme.state import CertificateFiles, CertificateState, PendingOrder
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.event_kinds import EventKind
from pipeline.events import Value

# Between two steps of an order, unless the authority wants a longer wait.
_PAUSE = timedelta(seconds=1)
_LONGEST_ORDER = timedelta(hours=1)
# If the authority cannot be asked when a certificate should be renewed.
_ASK_INTERVAL = timedelta(hours=6)
_logger = structlog.get_logger(__name__)


class Report(Protocol):
    """Emits an event about a certificate."""

    def __call__(self, kind: EventKind, message: str, **fields: Value) -> None: ...


@dataclass(frozen=True)
class Issuer:
    """Requests and renews one certificate. For one thread at a time, in one process.

    All that a later process needs is on disk before the authority is asked for more. `now` returns the time in UTC.
    """

    wanted: AcmeCertificate
    files: CertificateFiles
    authority: Authority
    proof: Proof
    report: Report
    now: Callable[[], datetime]
    asked: set[str]
    """The challenges that the authority was asked to check, by URL."""

    def step(self) -> tuple[timedelta, bool]:
        """Do what is due. Return the time until the next step, and whether a certificate was issued.

        Raises `StoreFault`. Errors of the authority are reported, and the next step comes later. The previous
        certificate stays.
        """
        state, now = self._warned(self.files.state(self.wanted)), self.now()
        due = next_try(state)
        if due is not None and due > now:
            return self._idle(state, due), False
        try:
            return self._advance(state)
        except AuthorityError as error:
            return self._failed(self.files.state(self.wanted), error), False

    def _advance(self, state: CertificateState) -> tuple[timedelta, bool]:
        if state.order is None:
            order, pending = self._begin(state)
        else:
            pending = state.order
            if self.now() - pending.began > _LONGEST_ORDER:
                raise AuthorityError("the authority has not finished the order within an hour", is_final=True)
            order = self.authority.order(pending.url)
        match decide(order, self.proof.kind, self.asked):
            case Prove(challenges):
                self.proof.put(challenges)
                for challenge in challenges:
                    self.authority.answer(challenge)
                    self.asked.add(challenge.url)
            case Wait(delay):
                return delay, False
            case Finalize():
                self.authority.finalize(order, signing_request(pending.key, self.wanted.domains))
            case Download():
                self._keep(self.authority.certificate(order), pending)
                self._clean(order)
                return self.step()[0], True
            case GiveUp(reason):
                self._clean(order)
                raise AuthorityError(reason, is_final=True)
        return _PAUSE, False

    def _begin(self, state: CertificateState) -> tuple[Order, PendingOrder]:
        # A full disk must not cost an order.
        self.files.put(self.wanted, state)
        order = self.authority.new_order(self.wanted.domains)
        pending = PendingOrder(order.url, new_key(), self.now())
        self.files.put(self.wanted, replace(state, order=pending, retry_at=None))
        self.asked.clear()
        return order, pending

    def _keep(self, chain: str, pending: PendingOrder) -> None:
        try:
            issued, expires = validity(chain, pending.key)
        except (ValueError, IndexError) as error:
            raise AuthorityError(f"the authority returned an unusable certificate: {error}", is_final=True) from error
        # In this order: after a crash in between, the certificate is downloaded again.
        self.files.put_certificate(self.wanted, chain, pending.key)
        self.files.put(self.wanted, CertificateState(self.wanted.domains, issued=issued, expires=expires))
        text = f"certificate for {self._names} issued, it expires on {expires:%Y-%m-%d}"
        self.report(EventKind.CERTIFICATE_ISSUED, text, domains=self._names, expires=expires.isoformat())

    def _clean(self, order: Order) -> None:
        kind = self.proof.kind
        try:
            self.proof.remove([each.challenges[kind] for each in order.authorizations if kind in each.challenges])
        except AuthorityError as error:
            # What is left over proves nothing any more, and is no reason for another order.
            _logger.warning("a proof was not removed", domains=self._names, error=str(error))

    def _failed(self, state: CertificateState, error: AuthorityError) -> timedelta:
        now, order = self.now(), None if error.is_final else state.order
        state = replace(state, failures=state.failures + 1, error=error.message, order=order)
        retry_at = retry_time(state, now, error)
        self.files.put(self.wanted, replace(state, retry_at=retry_at))
        former = f"; the certificate of before is valid until {state.expires:%Y-%m-%d}" if state.expires else ""
        self.report(
            EventKind.CERTIFICATE_FAILED,
            f"certificate for {self._names} not issued: {error.message}; next attempt in "
            f"{max(1, round((retry_at - now) / timedelta(minutes=1)))} min{former}",
            domains=self._names,
            reason=error.message,
            retry_at=retry_at.isoformat(),
            expires=state.expires.isoformat() if state.expires else None,
        )
        return retry_at - now

    def _idle(self, state: CertificateState, due: datetime) -> timedelta:
        """Return the time until the next step. Ask the authority now and then whether it wants an earlier renewal."""
        now = self.now()
        if state.expires is None or state.order or state.failures:
            return due - now
        if state.ask_again is None or state.ask_again <= now:
            try:
                wished, ask_again = self.authority.renewal_time(self.files.certificate(self.wanted))
            except AuthorityError:
                wished, ask_again = state.wished_renewal, now + _ASK_INTERVAL
            state = replace(state, wished_renewal=wished, ask_again=max(ask_again, now + _PAUSE))
            self.files.put(self.wanted, state)
        assert state.ask_again is not None
        times = (renewal_time(state) or due, state.ask_again)
        return max(min(times) - now, _PAUSE)

    def _warned(self, state: CertificateState) -> CertificateState:
        """Report once that a certificate expires soon."""
        if state.is_warned or state.expires is None or not expires_soon(state, self.now()):
            return state
        reason = f": {state.error}" if state.error else ""
        text = f"certificate for {self._names} expires on {state.expires:%Y-%m-%d} and is not renewed yet{reason}"
        self.report(EventKind.CERTIFICATE_EXPIRING, text, domains=self._names, expires=state.expires.isoformat())
        state = replace(state, is_warned=True)
        self.files.put(self.wanted, state)
        return state

    @property
    def _names(self) -> str:
        return ", ".join(self.wanted.domains)
