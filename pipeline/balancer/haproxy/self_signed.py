"""A certificate for the time until an authority has issued one. It lets the listener start; clients do not trust it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_VALIDITY = timedelta(days=90)
# A clock of a client may be a little behind.
_MARGIN = timedelta(hours=1)


def self_signed(domains: Sequence[str]) -> str:
    """Return a certificate for domains with a new key, both in PEM."""
    # The import costs 8 MB and 30 ms, which a balancer without certificates does not need.
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Penstock, not issued yet")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - _MARGIN).not_valid_after(now + _VALIDITY)
    names = x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains])
    certificate = builder.add_extension(names, critical=False).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (certificate.public_bytes(Encoding.PEM) + private).decode()
