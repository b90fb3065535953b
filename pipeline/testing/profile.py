"""What a load consists of."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class LoadProfile:
    """A steady load on `url`.

    `rate` in requests a second. `posts` and `fresh` are the shares, from 0 to 1, that are POSTs, and that open
    a connection of their own; the others share kept ones, at most `connections`. `timeout` in seconds.
    """

    url: str
    rate: float
    posts: float = 0.3
    fresh: float = 0.2
    timeout: float = 10.0
    connections: int = 64

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

    def request(self, method: str, body: bytes, fresh: bool) -> bytes:
        """A request as it is sent. GETs ask for `url`, POSTs for its `/echo`."""
        path = "/echo" if method == "POST" else urlsplit(self.url).path or "/"
        connection = "close" if fresh else "keep-alive"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: {connection}\r\n{length}\r\n"
        return head.encode() + body
