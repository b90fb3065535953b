"""Removal of secrets from text that is shown or stored."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

_MIN_LENGTH = 4
_STARS = "***"
_PERCENT = re.compile("%[0-9A-F]{2}")
# Characters that encodeURIComponent keeps and `quote` escapes.
_UNRESERVED = "!~*'()"
# Characters that some JSON encoders escape to make their output safe in HTML.
_FOR_HTML = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&"})
# Line lengths of wrapped base64: MIME and coreutils, PEM and OpenSSL.
_COLUMNS = (76, 64)


class Mask:
    """Replaces secrets in a text with `***`: plain, line by line, URL-encoded, in JSON, in base64 and in hex.

    Values of fewer than four characters are not masked, since masking `1` would remove digits all over the log.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in forms_of(value) if len(form) >= _MIN_LENGTH}
        # Longest first, so that a short secret does not leave the tail of a longer one visible.
        words = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def __call__(self, text: str) -> str:
        """Return `text` with its secrets replaced."""
        kept, end = [], 0
        for start, stop in self._found(text):
            kept += [text[end:start], _STARS]
            end = stop
        return "".join([*kept, text[end:]])

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of secrets. Overlapping ones are merged, so that no tail of the second stays visible."""
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


def mask_shown(text: str, mask: Callable[[str], str], shown: Callable[[str], str]) -> str:
    """Return a text without secrets, after `shown` has made it printable.

    Colour codes within a secret hide it from the mask, so a changed text is masked again.
    """
    masked = mask(text)
    changed = shown(masked)
    return masked if changed == masked else mask(changed)


def forms_of(value: str) -> Iterator[str]:
    """Yield the encodings of `value` that a tool may print."""
    yield value
    yield from (line.strip() for line in [*value.splitlines(), *value.split("\n")])
    if len(value) < _MIN_LENGTH:
        return
    raw = value.encode(errors="surrogateescape")
    # The form of invalid UTF-8 in a log.
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
        # In a longer text the secret may start at any of three positions of a base64 group. The characters at both
        # ends then depend on its neighbours, so they are left out.
        for offset in range(3):
            padded = encode(b"\0" * offset + raw).decode().rstrip("=")
            text = padded[(0, 2, 3)[offset] : len(padded) - (1 if (offset + len(raw)) % 3 else 0)]
            yield text
            if offset == 0:
                yield from (text[at : at + width] for width in _COLUMNS for at in range(0, len(text), width))
