"""Middleware before all pages: which connections and hosts are served, and the headers of every response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.web.settings import WebSettings

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer`, browsers send forms with `Origin: null`, which could come from anywhere.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_OPENER_POLICY = {"Cross-Origin-Opener-Policy": "same-origin"}
# A user has opened the page, or another page of this server. For a page that cannot have an opener elsewhere, the
# policy would only let the browser start another process, which delays the first paint by some 50 ms.
_WITHOUT_OPENER = frozenset({"none", "same-origin"})
_logger = structlog.get_logger(__name__)


class Gate:
    """Passes a request on if its peer may connect without TLS and its Host header names this server.

    Without the second check, the page of another site could read this one by a name that leads to this machine.
    `styles` are the hashes of the style sheets that pages may have.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings, address: str, styles: Sequence[str] = ()) -> None:
        self._app = app
        self._headers = {"Content-Security-Policy": _policy(styles), **_HEADERS}
        self._settings = settings
        self._hosts = frozenset((*settings.known_hosts, _host(address)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        site = Headers(scope=scope).get("sec-fetch-site")
        opener = {} if site in _WITHOUT_OPENER else _OPENER_POLICY
        send = _with_headers(send, {**self._headers, **opener})
        if refusal := self._refusal(scope):
            code, text = refusal
            await PlainTextResponse(f"{text}\n", code)(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer. A fault of it is answered here, so that this response has the headers, too."""
        has_started = False

        async def send_noted(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            _logger.exception("a request failed", path=scope["path"])
            if has_started:
                raise
            await PlainTextResponse("internal error: see the log of the daemon\n", 500)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        peer = scope["client"][0] if scope.get("client") else ""
        if scope["scheme"] != "https" and not (_is_loopback(peer) or self._settings.is_proxy(peer)):
            return 403, "this server needs HTTPS, or a proxy in `proxies` of web.yaml"
        host = _host(Headers(scope=scope).get("host", ""))
        if not (_is_loopback(host) or host in self._hosts):
            return 421, "this server does not have the name in the request's Host header: see `hosts` of web.yaml"
        return None


def _policy(styles: Sequence[str]) -> str:
    """Return the Content-Security-Policy. Scripts are files of this server, and a page has no other style sheet."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {' '.join(styles)}; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _with_headers(send: Send, added: Mapping[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


def _host(text: str) -> str:
    """Return the host of `HOST` or `HOST:PORT`, in lower case and without the brackets of IPv6."""
    if text.startswith("["):
        return text[1:].partition("]")[0].lower()
    return text.partition(":")[0].lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
