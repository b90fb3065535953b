"""The certificate of the web interface, which ACME clients and others renew while the daemon runs."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

_logger = structlog.get_logger(__name__)


class RenewedCertificate:
    """Gives new connections the certificate that is in the files now. Open ones keep theirs.

    Called for each handshake, in one thread. Two files are not replaced at once. So as long as they do not fit
    together, or cannot be read, the certificate before is used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._context: ssl.SSLContext | None = None
        self._used = self._refused = self._stamp()

    def choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        """Choose the certificate of a connection. The callback `sni_callback` of a context."""
        stamp = self._stamp()
        if stamp not in (self._used, self._refused):
            self._load(stamp)
        if self._context is not None:
            connection.context = self._context

    def _load(self, stamp: tuple[object, ...]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._certificate, self._key, password="")  # no prompt
        except OSError as error:  # also `SSLError`
            self._refused = stamp
            _logger.warning("the certificate of the web interface is not renewed", reason=str(error))
        else:
            self._used, self._context = stamp, context
            _logger.info("renewed the certificate of the web interface", file=str(self._certificate))

    def _stamp(self) -> tuple[object, ...]:
        """Return what changes with the files."""
        return (*_stamp(self._certificate), *_stamp(self._key))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError:
        return (None,)
    return found.st_ino, found.st_mtime_ns, found.st_size
