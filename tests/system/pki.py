"""Certificates for listeners, and what a client sees of them."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509

from tests.support.waiting import DEADLINE


class Pki(NamedTuple):
    """An authority, and a directory for its certificates."""

    authority: trustme.CA
    directory: Path

    def issue(self, file: str, *names: str, key: trustme.KeyType = trustme.KeyType.ECDSA) -> dict[str, str]:
        """Write a certificate for these names, in files for a listener."""
        return self.write(file, self.authority.issue_cert(*names, key_type=key))

    def write(self, file: str, leaf: trustme.LeafCert) -> dict[str, str]:
        certificate, key = self.directory / f"{file}.pem", self.directory / f"{file}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return {"certificate": str(certificate), "private_key": str(key)}

    def trust_store(self) -> str:
        file = self.directory / "authorities.pem"
        self.authority.cert_pem.write_to_path(file)
        return str(file)

    def client(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """Return a context of a client that trusts the authority, with its certificate if it has one."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if leaf:
            leaf.configure_cert(context)
        return context


def shake(port: int, context: ssl.SSLContext, name: str = "shop.test") -> ssl.SSLSocket:
    """Return a connection after its TLS handshake."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    try:
        return context.wrap_socket(raw, server_hostname=name)
    except BaseException:
        raw.close()
        raise


def shown(port: int, name: str | None) -> set[str]:
    """Return the names in the certificate that a client gets for `name`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    with closing(raw), context.wrap_socket(raw, server_hostname=name) as connection:
        found = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))
