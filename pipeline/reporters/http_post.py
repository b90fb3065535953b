"""JSON to a URL by HTTP, once, and in words why it did not arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline import __version__
from pipeline.reporters.reporter import DeliveryFailed

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

TIMEOUT = 10.0
"""Seconds that a server may take to answer."""
_PASSING = (408, 425, 429)
# How much of an answer is read, and shown, when it is a refusal.
_READ = 4096
_SHOWN = 200


def post(url: str, data: Any, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
    """Send `data` as JSON. Raises `DeliveryFailed` when the answer is not of 2XX; the reason names the host only."""
    post_bytes(url, json.dumps(data).encode(), headers, timeout)


def post_bytes(url: str, content: bytes, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
    """Send JSON that is encoded already. `timeout` in seconds."""
    import requests  # 150 ms, and only where something is reported.

    host = "the URL"
    said = {"Content-Type": "application/json", "User-Agent": f"penstock/{__version__}", **(headers or {})}
    try:
        host = urlsplit(url).netloc.rpartition("@")[2] or host
        # A redirect is not followed: it would carry the token to where it leads.
        with requests.post(
            url, data=content, headers=said, timeout=timeout, allow_redirects=False, auth=_as_is, stream=True
        ) as response:
            if not response.ok or response.is_redirect:
                raise _refusal(host, response)
    except requests.Timeout:
        raise DeliveryFailed(f"{host} did not answer within {timeout:.0f} s", retryable=True) from None
    except ValueError:
        # What exactly is in a URL or a header, which may hold a secret.
        raise DeliveryFailed(f"{host}: the URL or a header is not valid", retryable=False) from None
    except requests.RequestException as error:
        raise DeliveryFailed(f"cannot reach {host}: {_cause(error)}", retryable=True) from None


def _as_is(request: PreparedRequest) -> PreparedRequest:
    """Without this, an entry of ~/.netrc would take the place of the token."""
    return request


def _refusal(host: str, response: Response) -> DeliveryFailed:
    status, retry_after = response.status_code, response.headers.get("Retry-After", "")
    detail = _detail(response.raw.read(_READ, decode_content=True))
    seconds = float(retry_after) if retry_after.isdecimal() else 0.0
    return DeliveryFailed(
        f"{host} answered {status} {response.reason}{f': {detail}' if detail else ''}",
        retryable=status in _PASSING or status >= 500 or (status == 403 and seconds > 0),
        retry_after=seconds,
    )


def _detail(content: bytes) -> str:
    """What a refusal says about itself: the forges put it into `message` or `error`."""
    text = content.decode(errors="replace")
    try:
        answer = json.loads(text)
        said = answer.get("message") or answer.get("error") if isinstance(answer, dict) else answer
    except ValueError:
        said = "" if text.lstrip().startswith("<") else text
    return "".join(c for c in " ".join(str(said or "").split()) if c.isprintable())[:_SHOWN]


def _cause(error: BaseException) -> str:
    """What the operating system said, at the bottom of what the libraries made of it."""
    said = [e.strerror for e in _chain(error) if isinstance(e, OSError) and e.strerror]
    return said[-1] if said else "the connection was closed"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
