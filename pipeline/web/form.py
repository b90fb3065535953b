"""The form in the body of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

_MAX_BODY = 64 * 1024
_MAX_FIELDS = 200
# In seconds. Without it, a client that sends nothing more would keep its connection.
_TIMEOUT = 30.0
TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request, timeout: float = _TIMEOUT) -> Mapping[str, str]:
    """Return the fields of a form. Of a repeated field, the last one counts. Raises `HTTPException`.

    All of it has to arrive within `timeout` seconds.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise HTTPException(415, f"the body must be a form of the type {TYPE}")
    try:
        async with asyncio.timeout(timeout):
            content = await _body(request)
    except TimeoutError:
        raise HTTPException(408, f"the form did not arrive within {timeout:g} s") from None
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise HTTPException(400, "the body is not a form in UTF-8") from None


async def _body(request: Request) -> bytes:
    content = b""
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > _MAX_BODY:
                raise HTTPException(413, f"the form is larger than {_MAX_BODY >> 10} KiB")
    except ClientDisconnect:
        raise HTTPException(400, "the body is shorter than its Content-Length") from None
    return content


def check_origin(request: Request, hosts: Collection[str]) -> None:
    """Raise `HTTPException` if a browser says that another site has sent the request.

    `hosts` are names by which a proxy may know this server, besides the one in the Host header.
    """
    site, origin = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin")
    if site not in ("same-origin", "none") or (origin and not _is_own(origin, request, hosts)):
        raise HTTPException(403, "the request came from another site")


def _is_own(origin: str, request: Request, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:  # brackets without an address in them
        return False
    return parts.netloc == request.headers.get("host") or parts.hostname in hosts
