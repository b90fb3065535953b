"""Certificates, chains and keys in PEM: parsed and checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from pipeline.aws.errors import AwsError

_CURVES = {"secp256r1": "EC_prime256v1", "secp384r1": "EC_secp384r1", "secp521r1": "EC_secp521r1"}
_RSA_SIZES = (1024, 2048, 3072, 4096)


@dataclass(frozen=True)
class Chain:
    """A certificate, and those of its issuers, the direct one first."""

    certificate: x509.Certificate
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def text(self) -> str:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def issuers_text(self) -> str:
        """The chain without the certificate in PEM."""
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in self.issuers)


def read_chain(text: bytes) -> Chain:
    """Return the certificates of a text, which checked text is known to have."""
    first, *others = x509.load_pem_x509_certificates(text)
    return Chain(first, tuple(others))


def checked_chain(certificate: bytes, chain: bytes | None, key: bytes, now: datetime) -> Chain:
    """Return an imported certificate with its chain.

    Raises `AwsError` if the parts do not fit, or if the certificate is not valid now.
    """
    found = _certificates(certificate, "certificate")
    if len(found) > 1:
        raise _invalid(
            "The certificate field contains more than one certificate. Put the others into CertificateChain."
        )
    issuers = _certificates(chain, "certificate chain") if chain else []
    _check_key(found[0], key)
    if not found[0].not_valid_before_utc <= now <= found[0].not_valid_after_utc:
        raise _invalid("The certificate is not in its valid period.")
    for issued, issuer in zip([*found, *issuers], issuers, strict=False):
        if not _is_issued_by(issued, issuer):
            raise _invalid("Could not validate the certificate with the certificate chain.")
    key_algorithm(found[0])
    return Chain(found[0], tuple(issuers))


def domain_names(certificate: x509.Certificate) -> list[str]:
    """Return the names of a certificate: its common name first, then the alternative ones."""
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        others = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        others = []
    return list(dict.fromkeys([*common[:1], *others]))


def key_algorithm(certificate: x509.Certificate) -> str:
    """Return the algorithm of a certificate's key as ACM names it. Raises `AwsError` for one that ACM does not have."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_SIZES:
        return f"RSA_{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    raise _invalid(
        "The key algorithm is not supported: use RSA with up to 4096 bits, or EC with P-256, P-384 or P-521."
    )


def signature_algorithm(certificate: x509.Certificate) -> str:
    """Return the algorithm of a certificate's signature as ACM names it, such as `SHA256WITHRSA`."""
    digest = certificate.signature_hash_algorithm
    key = "ECDSA" if "ecdsa" in certificate.signature_algorithm_oid._name.lower() else "RSA"  # noqa: SLF001
    return f"{digest.name.upper()}WITH{key}" if digest else key


def _certificates(text: bytes, noun: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise _invalid(f"The {noun} is not in valid PEM format.") from None


def _check_key(certificate: x509.Certificate, text: bytes) -> None:
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError:
        raise _invalid("The private key is encrypted. Import it without a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid("The private key is not in valid PEM format.") from None
    if key.public_key() != certificate.public_key():
        raise _invalid("The private key does not match the public key in the certificate.")


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
