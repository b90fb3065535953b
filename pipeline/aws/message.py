"""An HTTP request and its response, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HttpRequest:
    """A request as it was received. `path` and `query` are not decoded. Names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpResponse:
    """A response. The body's media type is in `headers`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
