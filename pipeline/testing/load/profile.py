"""What a load consists of."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class LoadProfile:
    """A steady load on `url`.

    `rate` in requests a second. `posts` and `fresh` are the shares, from 0 to 1, that are POSTs, and that open
    a connection of their own; the others share kept ones, as many as it takes. `timeout` in seconds.
    `idempotent` gives each POST an Idempotency-Key, by which a balancer may send it again.
    """

    url: str
    rate: float
    posts: float = 0.3
    fresh: float = 0.2
    timeout: float = 10.0
    idempotent: bool = False

    @property
    def host(self) -> str:
        """Where to connect."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """Where to connect."""
        return urlsplit(self.url).port or 80

    def is_post(self, number: int) -> bool:
        """Whether request `number` is a POST: evenly spread, the same in every load."""
        return (number * 0.6180339887) % 1 < self.posts

    def is_fresh(self, number: int) -> bool:
        """Whether request `number` opens its own connection."""
        return (number * 0.7548776662) % 1 < self.fresh

    def request(self, number: int) -> bytes:
        """Request `number` as it is sent. GETs ask for `url`, POSTs for its `/echo`, which gives back their body."""
        posts, body = self.is_post(number), self.body(number)
        lines = [
            f"POST /echo HTTP/1.1\r\nContent-Length: {len(body)}" if posts else f"GET {self._path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Connection: {'close' if self.is_fresh(number) else 'keep-alive'}",
            *([f"Idempotency-Key: {number}"] if posts and self.idempotent else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def body(self, number: int) -> bytes:
        """What request `number` sends."""
        return f"request {number} of this load".encode() if self.is_post(number) else b""

    @property
    def _path(self) -> str:
        return urlsplit(self.url).path or "/"
