"""The parameters of a load."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class LoadProfile:
    """A steady load on `url`.

    `rate` is in requests per second. `posts` is the share of POSTs, from 0 to 1. `fresh` is the share of requests that
    open their own connection; the others share as many kept-alive ones as needed. `timeout` is in seconds.
    `idempotent` adds an Idempotency-Key to each POST, which lets a balancer retry it.
    """

    url: str
    rate: float
    posts: float = 0.3
    fresh: float = 0.2
    timeout: float = 10.0
    idempotent: bool = False

    @property
    def host(self) -> str:
        """The host to connect to."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The port to connect to."""
        return urlsplit(self.url).port or 80

    def is_post(self, number: int) -> bool:
        """Return whether request `number` is a POST. They are spread evenly, and are the same in every load."""
        return (number * 0.6180339887) % 1 < self.posts

    def is_fresh(self, number: int) -> bool:
        """Return whether request `number` opens its own connection."""
        return (number * 0.7548776662) % 1 < self.fresh

    def request(self, number: int) -> bytes:
        """Return request `number`. A GET requests `url`; a POST requests `/echo`, which returns its body."""
        posts, body = self.is_post(number), self.body(number)
        lines = [
            f"POST /echo HTTP/1.1\r\nContent-Length: {len(body)}" if posts else f"GET {self._path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Connection: {'close' if self.is_fresh(number) else 'keep-alive'}",
            *([f"Idempotency-Key: {number}"] if posts and self.idempotent else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def body(self, number: int) -> bytes:
        """Return the body of request `number`."""
        return f"request {number} of this load".encode() if self.is_post(number) else b""

    @property
    def _path(self) -> str:
        """The path and the query string."""
        parts = urlsplit(self.url)
        return f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
