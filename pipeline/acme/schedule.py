"""When a certificate is due (pure)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pipeline.acme.authority import AuthorityError
from pipeline.acme.state import CertificateState
from pipeline.base.backoff import Backoff

# The renewal begins when this share of the lifetime is left, unless the authority wants it earlier.
_RENEWAL_SHARE = 3
# A certificate is used this long, also if the authority wants each one to be renewed at once.
_LEAST_AGE = timedelta(days=1)
# A warning is emitted when this share of the lifetime is left, so some renewals have failed.
_WARNING_SHARE = 6
# Let's Encrypt allows five failed proofs of a domain in an hour.
_AFTER_REFUSAL = Backoff(timedelta(minutes=15), longest=timedelta(hours=12), jitter=0.1)
_AFTER_OUTAGE = Backoff(timedelta(minutes=1), longest=timedelta(hours=1), jitter=0.1)


def renewal_time(state: CertificateState) -> datetime | None:
    """Return when the certificate is to be renewed, None if it is to be requested now."""
    if state.issued is None or state.expires is None:
        return None
    latest = state.expires - (state.expires - state.issued) / _RENEWAL_SHARE
    return min(latest, max(state.wished_renewal or latest, state.issued + _LEAST_AGE))


def next_try(state: CertificateState) -> datetime | None:
    """Return when a step for the certificate is due, None if it is now."""
    if state.retry_at is not None:
        return state.retry_at
    return None if state.order else renewal_time(state)


def retry_time(state: CertificateState, now: datetime, error: AuthorityError) -> datetime:
    """Return when to try again after the last of the failures in `state`. Never earlier than the authority allows."""
    first = _AFTER_REFUSAL if error.is_final else _AFTER_OUTAGE
    return now + max(replace(first, failures=state.failures - 1).delay(), error.retry_after)


def expires_soon(state: CertificateState, now: datetime) -> bool:
    """Return whether its renewal is overdue, or the certificate has expired."""
    if state.issued is None or state.expires is None:
        return False
    return now >= state.expires - (state.expires - state.issued) / _WARNING_SHARE
