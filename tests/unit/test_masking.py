"""No form of a secret gets through the mask."""

from __future__ import annotations

import base64
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking import Mask

SECRET = "p4ss/w0rd+é=?"


def test_the_secret_itself() -> None:
    """Wherever it stands."""
    assert Mask([SECRET])(f"DB=x:{SECRET}@db {SECRET}") == "DB=x:***@db ***"


def test_url_encoded() -> None:
    """As it looks in a connection string."""
    assert Mask([SECRET])(f"postgres://app:{quote(SECRET, safe='')}@db") == "postgres://app:***@db"


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_base64_wherever_it_begins_in_the_text(before: bytes, after: bytes) -> None:
    """Whoever decodes what is left does not find the secret."""
    encoded = base64.b64encode(before + SECRET.encode() + after).decode()
    masked = Mask([SECRET])(f"Authorization: Basic {encoded}")
    assert "***" in masked
    rest = max(masked.removeprefix("Authorization: Basic ").split("***"), key=len)
    assert len(rest) < len(encoded) / 2


def test_each_line_of_a_secret_of_several() -> None:
    """A log shows a private key line by line."""
    mask = Mask(["-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----"])
    assert mask("abcdefgh") == "***"
    assert mask("  ijklmnop") == "  ***"


def test_a_secret_that_is_part_of_another() -> None:
    """The longer one goes as a whole."""
    assert Mask(["token", "token-2024"])("token-2024 token") == "*** ***"


def test_values_too_short_to_hide() -> None:
    """Masking `1` would eat every digit of the log and hide nothing."""
    assert Mask(["1", "", "abc"])("1 abc") == "1 abc"


def test_no_secret_no_change() -> None:
    """Most pipelines have none."""
    assert Mask([])("text") == "text"
