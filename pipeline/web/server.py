"""The HTTP server of the web interface."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from pipeline.http.connections import ConnectionLimits, limited_config
from pipeline.http.serving import REQUEST_TIMEOUT
from pipeline.web.settings import WebSettings
from pipeline.web.tls import RenewedCertificate

# Each browser has up to six.
MAX_CONNECTIONS = 1000


def web_config(app: Starlette, settings: WebSettings) -> uvicorn.Config:
    """Return the configuration of the server. Raises `OSError` for a certificate that cannot be read."""
    limits = ConnectionLimits(MAX_CONNECTIONS, lambda: REQUEST_TIMEOUT, until_request=True)
    config = limited_config(
        app,
        limits,
        # Open pages do not end on their own, so they are cut off at shutdown.
        timeout_graceful_shutdown=1,
        # By default uvicorn believes what any program on this machine says about the sender of a request.
        proxy_headers=False,
        server_header=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    if settings.certificate and settings.key:
        # Before the first look at the files, so that a change during it is seen.
        renewed = RenewedCertificate(settings.certificate, settings.key)
        config.load()
        assert config.ssl is not None
        config.ssl.sni_callback = renewed.choose
    return config
