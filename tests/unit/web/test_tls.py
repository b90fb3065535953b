"""The certificate of the web interface while its files change."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from pipeline.web.settings import WebSettings
from tests.support.waiting import DEADLINE
from tests.support.web import web_server


class Files:
    """The files of a certificate, and the authority that issues it anew."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "web.pem", folder / "web.key"
        self._authority = trustme.CA()
        self.port = 0
        self.renew()

    def renew(self, *, half: bool = False) -> bytes:
        """Write a new certificate, or only that and not its key. Return it as DER."""
        made = self._authority.issue_cert("127.0.0.1")
        text = made.cert_chain_pems[0].bytes()
        _replace(self.certificate, text)
        if not half:
            _replace(self.key, made.private_key_pem.bytes())
        return ssl.PEM_cert_to_DER_cert(text.decode())

    def connect(self) -> http.client.HTTPSConnection:
        """Return an open connection, whose status was right."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=DEADLINE, context=context)
        connection.connect()
        return connection

    def shown(self) -> bytes:
        """Return the certificate that a new connection gets."""
        with closing(self.connect()) as connection:
            connection.request("GET", "/login")
            assert connection.getresponse().status == 200
            return _certificate(connection)


def _replace(path: Path, content: bytes) -> None:
    written = path.with_suffix(".new")
    written.write_bytes(content)
    written.rename(path)


def _certificate(connection: http.client.HTTPSConnection) -> bytes:
    assert isinstance(connection.sock, ssl.SSLSocket)
    found = connection.sock.getpeercert(binary_form=True)
    assert found is not None
    return found


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """The files of a server that runs."""
    found = Files(tmp_path)
    settings = WebSettings(certificate=found.certificate, key=found.key)
    with web_server(tmp_path, settings=settings) as server:
        found.port = server.port
        yield found


def test_a_renewed_certificate_is_used_without_a_restart(files: Files) -> None:
    """New connections get it, again and again. One that is open goes on."""
    with closing(files.connect()) as open_connection:
        before = _certificate(open_connection)
        for _ in range(3):
            renewed = files.renew()
            assert files.shown() == renewed != before
        open_connection.request("GET", "/login")
        assert open_connection.getresponse().status == 200


def test_a_certificate_without_its_key_is_not_used(files: Files) -> None:
    """The one before is, until the key is there, also if a file is missing."""
    before = files.shown()
    files.renew(half=True)
    assert files.shown() == before
    assert files.shown() == before
    renewed = files.renew()
    assert files.shown() == renewed
    files.certificate.unlink()
    assert files.shown() == renewed
    assert files.renew() == files.shown()
