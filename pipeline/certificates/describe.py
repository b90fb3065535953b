"""How ACM describes certificates. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pipeline.certificates.pem import Chain, domain_names, key_algorithm, signature_algorithm
from pipeline.certificates.store import StoredCertificate

_MAX_SUMMARY_NAMES = 100
_USAGES = {
    "digital_signature": "DIGITAL_SIGNATURE",
    "content_commitment": "NON_REPUDIATION",
    "key_encipherment": "KEY_ENCIPHERMENT",
    "data_encipherment": "DATA_ENCIPHERMENT",
    "key_agreement": "KEY_AGREEMENT",
    "key_cert_sign": "CERTIFICATE_SIGNING",
    "crl_sign": "CRL_SIGNING",
}
_EXTENDED_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "TLS_WEB_SERVER_AUTHENTICATION",
    ExtendedKeyUsageOID.CLIENT_AUTH: "TLS_WEB_CLIENT_AUTHENTICATION",
}


def detail(stored: StoredCertificate, chain: Chain, used_by: Sequence[str], now: datetime) -> dict[str, Any]:
    """Describe a certificate. `used_by` has the ARNs of the load balancers that use it."""
    certificate = chain.certificate
    names = domain_names(certificate)
    return {
        **_common(stored, certificate, now),
        "SubjectAlternativeNames": names,
        "Serial": ":".join(f"{byte:02x}" for byte in _serial(certificate)),
        "Subject": certificate.subject.rfc4514_string(),
        "Issuer": _issuer(certificate),
        "SignatureAlgorithm": signature_algorithm(certificate),
        "KeyUsages": [{"Name": each} for each in key_usages(certificate)],
        "ExtendedKeyUsages": [{"Name": name, "OID": oid} for name, oid in extended_usages(certificate)],
        "InUseBy": list(used_by),
        "Options": {"CertificateTransparencyLoggingPreference": "DISABLED", "Export": "DISABLED"},
        **({} if stored.is_imported else {"DomainValidationOptions": [_validation(stored, name) for name in names]}),
    }


def summary(stored: StoredCertificate, chain: Chain, used_by: Sequence[str], now: datetime) -> dict[str, Any]:
    """Describe a certificate in a list."""
    certificate = chain.certificate
    names = domain_names(certificate)
    return {
        **_common(stored, certificate, now),
        "SubjectAlternativeNameSummaries": names[:_MAX_SUMMARY_NAMES],
        "HasAdditionalSubjectAlternativeNames": len(names) > _MAX_SUMMARY_NAMES,
        "KeyUsages": key_usages(certificate),
        "ExtendedKeyUsages": [name for name, _ in extended_usages(certificate)],
        "InUse": bool(used_by),
        "ExportOption": "DISABLED",
        "Exported": False,
    }


def key_usages(certificate: x509.Certificate) -> list[str]:
    """Return the usages of a certificate's key as ACM names them."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ["ANY"]
    return [name for attribute, name in _USAGES.items() if getattr(found, attribute)]


def extended_usages(certificate: x509.Certificate) -> list[tuple[str, str]]:
    """Return the extended usages of a certificate's key as ACM names them, each with its object identifier."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [(_EXTENDED_USAGES.get(oid, "CUSTOM"), oid.dotted_string) for oid in found]


def _common(stored: StoredCertificate, certificate: x509.Certificate, now: datetime) -> dict[str, Any]:
    names = domain_names(certificate)
    at = "ImportedAt" if stored.is_imported else "IssuedAt"
    return {
        "CertificateArn": stored.arn,
        **({"DomainName": names[0]} if names else {}),
        "Status": "ISSUED" if now <= certificate.not_valid_after_utc else "EXPIRED",
        "Type": "IMPORTED" if stored.is_imported else "AMAZON_ISSUED",
        "KeyAlgorithm": key_algorithm(certificate),
        "NotBefore": certificate.not_valid_before_utc,
        "NotAfter": certificate.not_valid_after_utc,
        "CreatedAt": stored.created,
        at: stored.changed,
        "RenewalEligibility": "INELIGIBLE",
    }


def _serial(certificate: x509.Certificate) -> bytes:
    number = certificate.serial_number
    return number.to_bytes((number.bit_length() + 7) // 8 or 1)


def _issuer(certificate: x509.Certificate) -> str:
    for oid in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
        if found := certificate.issuer.get_attributes_for_oid(oid):
            return str(found[0].value)
    return certificate.issuer.rfc4514_string()


def _validation(stored: StoredCertificate, name: str) -> dict[str, Any]:
    """Describe the validation of a name. It has succeeded, because the authority is the home's.

    Terraform waits until the record that proves a name is described. Nothing looks it up.
    """
    described = {"DomainName": name, "ValidationDomain": name, "ValidationStatus": "SUCCESS"}
    if stored.validation is None:
        return described
    host = name.removeprefix("*.")
    label, target = (_digest(stored.id, host, part) for part in ("name", "value"))
    record = {"Name": f"_{label}.{host}.", "Type": "CNAME", "Value": f"_{target}.acm-validations.aws."}
    return {**described, "ValidationMethod": stored.validation, "ResourceRecord": record}


def _digest(*words: str) -> str:
    return hashlib.blake2b("/".join(words).encode(), digest_size=16).hexdigest()
