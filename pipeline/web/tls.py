"""The certificate of the web interface, which ACME clients and others renew while the daemon runs."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from pipeline.base.files import FileStamp, file_stamp

_Stamps = tuple[FileStamp | None, FileStamp | None]
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
        self._used = self._refused = self._stamps()

    def choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        """Choose the certificate of a connection. The callback `sni_callback` of a context."""
        stamps = self._stamps()
        if stamps not in (self._used, self._refused):
            self._load(stamps)
        if self._context is not None:
            connection.context = self._context

    def _load(self, stamps: _Stamps) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._certificate, self._key, password="")  # no prompt
        except OSError as error:  # also `SSLError`
            self._refused = stamps
            _logger.warning("the certificate of the web interface is not renewed", reason=str(error))
        else:
            self._used, self._context = stamps, context
            _logger.info("renewed the certificate of the web interface", file=str(self._certificate))

    def _stamps(self) -> _Stamps:
        return file_stamp(self._certificate), file_stamp(self._key)
