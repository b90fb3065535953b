"""Secrets kept out of whatever is shown or stored."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_LEAST = 4
_STARS = "***"


class Mask:
    """Replaces every secret in a text by `***`: as it is, line by line, URL-encoded, in JSON, and in base64.

    A value of fewer than four characters is left alone: masking `1` would eat every digit of the log.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= _LEAST}
        # The longest first, so that no secret leaves the tail of a longer one behind.
        words = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        return self._pattern.sub(_STARS, text) if self._pattern else text


def _forms(value: str) -> Iterable[str]:
    yield value
    for line in value.splitlines():
        yield line.strip()
    if len(value) < _LEAST:
        return
    yield quote(value)
    yield quote(value, safe="")
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    raw = value.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Inside a longer text the secret may begin at any of three places of a base64 group; the characters at
        # either end then also depend on its neighbours, and are left out.
        for offset in range(3):
            padded = encode(b"\0" * offset + raw).decode().rstrip("=")
            yield padded[(0, 2, 3)[offset] : len(padded) - (1 if (offset + len(raw)) % 3 else 0)]
