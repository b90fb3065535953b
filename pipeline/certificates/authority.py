"""The home's own certificate authority, which issues what clients request.

No browser trusts it unless its user adds it. There is no public authority that could be asked on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from pipeline.base.files import write_atomically
from pipeline.certificates.pem import Chain

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_NAME = "Penstock local authority"
_OWN_VALIDITY = timedelta(days=3650)
VALIDITY = timedelta(days=825)
"""How long an issued certificate is valid."""
# A clock of a client may be a little behind.
_MARGIN = timedelta(minutes=5)
_KEYS: Mapping[str, Callable[[], Key]] = {
    "RSA_2048": lambda: rsa.generate_private_key(65537, 2048),
    "EC_prime256v1": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC_secp384r1": lambda: ec.generate_private_key(ec.SECP384R1()),
}
ALGORITHMS = tuple(_KEYS)
"""The algorithms of keys that can be requested."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its chain, and its key in PEM."""

    chain: Chain
    key: bytes


@dataclass(frozen=True)
class Authority:
    """A certificate authority."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def open(cls, file: Path, now: datetime) -> Self:
        """Return the authority in a file, or a new one. Callers hold a lock. Raises `OSError` and `ValueError`."""
        if not file.exists():
            made = cls._new(now)
            write_atomically(file, made.certificate.public_bytes(Encoding.PEM) + pem_key(made.key))
        content = file.read_bytes()
        key = load_pem_private_key(content, password=None)
        assert isinstance(key, Key)
        return cls(x509.load_pem_x509_certificate(content), key)

    @classmethod
    def _new(cls, now: datetime) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
        builder = _builder(name, name, key, now, _OWN_VALIDITY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=True), critical=True)
        return cls(builder.sign(key, SHA256()), key)

    def issue(self, names: Sequence[str], algorithm: str, now: datetime) -> Issued:
        """Return a certificate for some domain names with a new key. The first name is its common name."""
        key = _KEYS[algorithm]()
        # A common name has at most 64 characters. Clients look at the alternative names.
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])] if len(names[0]) <= 64 else [])
        # A client trusts no certificate that outlives its authority's.
        validity = min(VALIDITY, self.certificate.not_valid_after_utc - now)
        builder = _builder(subject, self.certificate.subject, key, now, validity)
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            _usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPrivateKey)), critical=True
        )
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usages, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        return Issued(Chain(builder.sign(self.key, SHA256()), (self.certificate,)), pem_key(key))


def pem_key(key: Key) -> bytes:
    """Return a key in PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, validity: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - _MARGIN).not_valid_after(now + validity)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(
    *, digital_signature: bool = False, key_encipherment: bool = False, key_cert_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
