"""The server of the web interface, as a part of `pipeline serve`."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home

if TYPE_CHECKING:
    import uvicorn

    from pipeline.daemon.daemon import Daemon
    from pipeline.web.settings import WebSettings

_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # compared, not used


def web_server(daemon: Daemon, stack: ExitStack, address: str | None) -> None:
    """Serve the web interface at `address` until the stack is closed. Raises `ConfigError`.

    Its URL is kept in the home for `pipeline web login`.
    """
    daemon.home.web_url.unlink(missing_ok=True)
    if address is None:
        return
    from pipeline.base.files import write_atomically
    from pipeline.http.serving import http_server, public_socket

    settings = settings_for(daemon.home, address)
    listener = public_socket(address)
    stack.enter_context(http_server(partial(_config, daemon, settings, address), listener))
    host, port = address.rpartition(":")[0], listener.getsockname()[1]
    write_atomically(daemon.home.web_url, f"{settings.url or f'{settings.scheme}://{host}:{port}'}\n")
    stack.callback(daemon.home.web_url.unlink, missing_ok=True)


def settings_for(home: Home, address: str) -> WebSettings:
    """Return the settings of a web interface at `address`.

    Raises `ConfigError`, also if the secrets of sessions would cross a network unencrypted.
    """
    from pipeline.web.settings import read_settings

    settings = read_settings(home.web_settings)
    host = address.rpartition(":")[0].strip("[]")
    try:
        is_local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local and settings.certificate is None and not settings.proxies:
        raise ConfigError(
            f"--web {address}: an address beyond loopback needs TLS",
            hint=f"set certificate and key in {home.web_settings}, or the proxies that add TLS",
        )
    if host in _ANY_ADDRESS and settings.url is None:
        raise ConfigError(
            f"--web {address}: this is no address that a browser can open", hint=f"set url in {home.web_settings}"
        )
    if settings.certificate and settings.key:
        _check_certificate(settings.certificate, settings.key)
    return settings


def _check_certificate(certificate: Path, key: Path) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")  # no prompt
    except OSError as error:  # also `SSLError`
        raise ConfigError(
            f"web.yaml: certificate: cannot be used: {error}",
            hint=f"{certificate} must be a PEM file, and {key} its unencrypted key",
        ) from error


def _config(daemon: Daemon, settings: WebSettings, address: str) -> uvicorn.Config:
    # Loaded at the first connection: a daemon without open pages needs no templates.
    from pipeline.base.clock import SYSTEM
    from pipeline.http.reports import Reports
    from pipeline.web.app import WebApp
    from pipeline.web.reports import WebReports
    from pipeline.web.server import web_config

    reports = WebReports(Reports.of(daemon), SYSTEM)
    return web_config(WebApp(reports, settings, address, [daemon.targets_changed.subscribe]).app(), settings)
