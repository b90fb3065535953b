"""The server of the race reads a request's length."""

from __future__ import annotations

import pytest

from bench.closing_server import content_length


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a", 0),
        (b"POST / HTTP/1.1\r\ncontent-length:5\r\nHost: a", 5),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12", 12),
    ],
)
def test_content_length(head: bytes, expected: int) -> None:
    """The length is found under any case, and is 0 without a body."""
    assert content_length(head) == expected
