"""Secrets kept out of whatever is shown or stored."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

_LEAST = 4
_STARS = "***"
_PERCENT = re.compile("%[0-9A-F]{2}")
# What encodeURIComponent leaves alone, and quote does not.
_UNRESERVED = "!~*'()"
# Characters that encoders of JSON escape although they need not, so that it may stand in HTML.
_FOR_HTML = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&"})
# At which columns base64 is wrapped: MIME and coreutils, PEM and OpenSSL.
_COLUMNS = (76, 64)


class Mask:
    """Replaces every secret in a text by `***`: as it is, line by line, URL-encoded, in JSON, in base64 and in hex.

    A value of fewer than four characters is left alone: masking `1` would eat every digit of the log.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in forms_of(value) if len(form) >= _LEAST}
        # The longest first, so that no secret leaves the tail of a longer one behind.
        words = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        kept, end = [], 0
        for start, stop in self._found(text):
            kept += [text[end:start], _STARS]
            end = stop
        return "".join([*kept, text[end:]])

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where secrets are. Two that overlap are one, or the second would show what the first leaves of it."""
        if self._pattern is None:
            return
        start, stop, match = 0, 0, self._pattern.search(text)
        while match is not None:
            if match.start() >= stop:
                if stop:
                    yield start, stop
                start = match.start()
            stop = max(stop, match.end())
            match = self._pattern.search(text, match.start() + 1)
        if stop:
            yield start, stop


def forms_of(value: str) -> Iterator[str]:
    """How `value` may look in what a tool prints."""
    yield value
    yield from (line.strip() for line in [*value.splitlines(), *value.split("\n")])
    if len(value) < _LEAST:
        return
    raw = value.encode(errors="surrogateescape")
    # As a log shows what is no UTF-8.
    yield raw.decode(errors="replace")
    yield from _in_urls(raw)
    yield from _in_json(value)
    yield raw.hex()
    yield raw.hex().upper()
    yield from _in_base64(raw)


def _in_urls(raw: bytes) -> Iterator[str]:
    for encoded in (quote(raw), quote(raw, safe=""), quote(raw, safe=_UNRESERVED), quote_plus(raw)):
        yield encoded
        yield _PERCENT.sub(lambda match: match[0].lower(), encoded)


def _in_json(value: str) -> Iterator[str]:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield text
        yield text.translate(_FOR_HTML)
        yield text.replace("/", "\\/")


def _in_base64(raw: bytes) -> Iterator[str]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Inside a longer text the secret may begin at any of three places of a base64 group; the characters at
        # either end then also depend on its neighbours, and are left out.
        for offset in range(3):
            padded = encode(b"\0" * offset + raw).decode().rstrip("=")
            text = padded[(0, 2, 3)[offset] : len(padded) - (1 if (offset + len(raw)) % 3 else 0)]
            yield text
            if offset == 0:
                yield from (text[at : at + width] for width in _COLUMNS for at in range(0, len(text), width))
