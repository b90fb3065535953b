"""The renewal of certificates that the home's authority has issued, and what expires without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from pipeline.certificates.authority import Authority, Issued
from pipeline.certificates.pem import domain_names, key_algorithm
from pipeline.certificates.store import CertificateStore, StoredCertificate

RENEW_BEFORE = timedelta(days=60)
"""The time before its end at which a certificate is renewed. ACM has the same."""
REPORT_BEFORE = timedelta(days=45)
"""The time before its end at which a certificate is reported that cannot be renewed."""
_LEAST_GAIN = timedelta(days=1)


@dataclass(frozen=True)
class Expiry:
    """A certificate that was renewed, or that expires soon, and its end."""

    certificate: StoredCertificate
    names: tuple[str, ...]
    expires: datetime
    renewed: bool


def renew(store: CertificateStore, now: datetime) -> Iterator[Expiry]:
    """Renew what is due, and yield it. Yield also each imported certificate that expires soon.

    A renewed certificate keeps its ARN, its names and its key's algorithm, and gets a new key. Listeners reload it
    within a minute. Safe to repeat after a crash. Raises `StoreFault`.
    """
    for certificate in store.every():
        chain = store.chain(certificate)
        names, expires = domain_names(chain.certificate), chain.certificate.not_valid_after_utc
        if certificate.is_imported:
            if expires - now < REPORT_BEFORE:
                yield Expiry(certificate, tuple(names), expires, renewed=False)
        elif expires - now < RENEW_BEFORE:
            issued = store.issue(partial(_issue, names, key_algorithm(chain.certificate), now), now)
            end = issued.chain.certificate.not_valid_after_utc
            # The authority's own end is the end of what it issues.
            is_later = end - expires > _LEAST_GAIN
            if is_later:
                store.reissue(replace(certificate, changed=now), issued)
            yield Expiry(certificate, tuple(names), end if is_later else expires, renewed=is_later)


def _issue(names: list[str], algorithm: str, now: datetime, authority: Authority) -> Issued:
    return authority.issue(names, algorithm, now)
