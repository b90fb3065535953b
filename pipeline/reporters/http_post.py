"""A single POST of JSON to a URL, with a readable reason on failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from pipeline import __version__
from pipeline.base.connection_error import cause_of
from pipeline.base.deadline import within
from pipeline.reporters.rate_limit import requested_pause
from pipeline.reporters.reporter import DeliveryFailed

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

TIMEOUT = 10.0
"""Time in seconds for a delivery: name resolution, connections, redirects and the response."""
_RETRYABLE_STATUSES = (408, 425, 429)
# Those that mean the same request at another URL.
_REPEATED_REDIRECTS = (307, 308)
_MAX_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
# In bytes of an error response, and in characters of the message.
_MAX_READ = 4096
_MAX_SHOWN = 200


def post(url: str, data: Any, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
    """Send `data` as JSON. Raises `DeliveryFailed` if the response is not 2XX. The reason names only the host."""
    post_bytes(url, json.dumps(data).encode(), headers, timeout)


def post_bytes(url: str, content: bytes, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
    """Send encoded JSON. `timeout` is for the whole delivery, in seconds. Raises `DeliveryFailed`."""
    host = "the URL"
    with suppress(ValueError):
        host = urlsplit(url).netloc.rpartition("@")[2] or host
    try:
        within(timeout, lambda: _send(url, host, content, headers or {}, timeout))
    except TimeoutError:
        raise DeliveryFailed(f"{host} did not respond within {timeout:.0f} s", retryable=True) from None


def _send(url: str, host: str, content: bytes, headers: Mapping[str, str], timeout: float) -> None:
    import requests  # The import takes 150 ms, so only runs with reporters pay for it.

    sent = {"Content-Type": "application/json", "User-Agent": f"penstock/{__version__}", **headers}
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            with requests.post(
                url, data=content, headers=sent, timeout=timeout, allow_redirects=False, auth=_no_netrc, stream=True
            ) as response:
                followed = _followed(url, response)
                if followed is None:
                    if not 200 <= response.status_code < 300:
                        raise _delivery_failed(host, response)
                    return
                url = followed
        raise DeliveryFailed(f"{host} redirected more than {_MAX_REDIRECTS} times", retryable=False)
    except requests.Timeout as error:
        raise TimeoutError from error
    except ValueError:
        # The text of the error shows the URL or the header, which may contain a secret.
        raise DeliveryFailed(f"{host}: the URL or a header is not valid", retryable=False) from None
    except requests.RequestException as error:
        raise DeliveryFailed(f"cannot reach {host}: {cause_of(error)}", retryable=True) from None


def _followed(url: str, response: Response) -> str | None:
    """Return the URL that the same POST is sent to next, or None.

    A forge redirects so after a repository was renamed. Other hosts must not get the token, and other redirects would
    turn the POST into a GET.
    """
    if response.status_code not in _REPEATED_REDIRECTS or "Location" not in response.headers:
        return None
    location = urljoin(url, response.headers["Location"])
    old, new = urlsplit(url), urlsplit(location)
    is_upgrade = (old.scheme, new.scheme, old.port or 80, new.port or 443) == ("http", "https", 80, 443)
    is_same = (old.scheme, old.port or _PORTS.get(old.scheme)) == (new.scheme, new.port or _PORTS.get(new.scheme))
    return location if old.hostname == new.hostname and (is_same or is_upgrade) else None


def _no_netrc(request: PreparedRequest) -> PreparedRequest:
    """Return the request unchanged. Without an auth handler, requests would replace the token by ~/.netrc."""
    return request


def _delivery_failed(host: str, response: Response) -> DeliveryFailed:
    status, detail = response.status_code, _detail(_body(response))
    pause = requested_pause(response.headers, detail)
    return DeliveryFailed(
        f"{host} returned {status} {response.reason}{f': {detail}' if detail else ''}",
        retryable=status in _RETRYABLE_STATUSES or status >= 500 or (status == 403 and pause is not None),
        retry_after=pause or 0.0,
    )


def _body(response: Response) -> bytes:
    from urllib3.exceptions import HTTPError

    try:
        return bytes(response.raw.read(_MAX_READ, decode_content=True))
    except HTTPError:
        # The status says enough, and a body that ends early or is encoded wrongly does not change it.
        return b""


def _detail(content: bytes) -> str:
    """Return the message of an error response. The forges put it into `message` or `error`."""
    text = content.decode(errors="replace")
    try:
        body = json.loads(text)
        message = body.get("message") or body.get("error") if isinstance(body, dict) else body
    except ValueError:
        message = "" if text.lstrip().startswith("<") else text
    return "".join(c for c in " ".join(str(message or "").split()) if c.isprintable())[:_MAX_SHOWN]
