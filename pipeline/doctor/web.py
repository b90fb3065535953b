"""The settings of the web interface."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding

# An authority gives certificates for 90 days, and most programs replace them 30 days before their end.
_SOON = timedelta(days=14)
_NAME = "web interface"


def web_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the check of web.yaml, if there is one."""
    if context.home.web_settings.exists():
        yield Check(_NAME, lambda: [_settings(context)])


def _settings(context: DoctorContext) -> Finding:
    from pipeline.web.settings import read_settings

    settings = read_settings(context.home.web_settings)
    if settings.certificate is not None:
        return _certificate(settings.certificate)
    if settings.identity is not None:
        return Finding.ok(_NAME, f"web.yaml is valid; users are named by {settings.identity.header} of its proxies")
    return Finding.ok(_NAME, "web.yaml is valid")


def _certificate(path: Path) -> Finding:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except ValueError:
        return Finding.failed(_NAME, f"{path} has no certificate in PEM", "see certificate in web.yaml")
    left = found.not_valid_after_utc - datetime.now(UTC)
    hint = "replace it, then restart the daemon"
    if left <= timedelta(0):
        return Finding.failed(_NAME, f"the certificate {path} expired on {found.not_valid_after_utc:%Y-%m-%d}", hint)
    if left <= _SOON:
        return Finding.warning(_NAME, f"the certificate {path} expires in {left.days} days", hint)
    return Finding.ok(_NAME, f"web.yaml is valid; its certificate expires in {left.days} days")
