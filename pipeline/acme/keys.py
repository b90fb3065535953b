"""Keys, signing requests and validity of certificates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key


def new_key() -> str:
    """Return a new key of the curve P-256 in PEM, not encrypted."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signing_request(key: str, domains: Sequence[str]) -> bytes:
    """Return a request for a certificate for these domains, in PEM. `key`: in PEM."""
    private = load_pem_private_key(key.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    names = x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains])
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.add_extension(names, critical=False).sign(private, SHA256()).public_bytes(Encoding.PEM)


def validity(chain: str, key: str) -> tuple[datetime, datetime]:
    """Return since when and until when an issued certificate is valid. Raises `ValueError` if it has another key."""
    certificate = x509.load_pem_x509_certificates(chain.encode())[0]
    if certificate.public_key() != load_pem_private_key(key.encode(), None).public_key():
        raise ValueError("it has another key than the one that was requested")
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
