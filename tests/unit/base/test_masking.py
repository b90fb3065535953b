"""The mask removes every form of a secret."""

from __future__ import annotations

import base64
import json
import textwrap
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.masking import Mask, forms_of

SECRET = "p4ss/w0rd+é=?"


def test_the_secret_itself() -> None:
    """A secret is masked at every position of a text."""
    assert Mask([SECRET])(f"DB=x:{SECRET}@db {SECRET}") == "DB=x:***@db ***"


def test_url_encoded() -> None:
    """A URL-encoded secret is masked, as in a connection string."""
    assert Mask([SECRET])(f"postgres://app:{quote(SECRET, safe='')}@db") == "postgres://app:***@db"


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_base64_at_any_position(before: bytes, after: bytes) -> None:
    """The secret cannot be decoded from the rest of a masked base64 text."""
    encoded = base64.b64encode(before + SECRET.encode() + after).decode()
    masked = Mask([SECRET])(f"Authorization: Basic {encoded}")
    assert "***" in masked
    rest = max(masked.removeprefix("Authorization: Basic ").split("***"), key=len)
    assert len(rest) < len(encoded) / 2


def test_url_encoded_in_small_letters() -> None:
    """Percent escapes in lower case, as of Java and .NET, are masked."""
    assert Mask([SECRET])("p4ss%2fw0rd%2b%c3%a9%3d%3f") == "***"


def test_in_json() -> None:
    """The JSON escapes of Python, Go, PHP and JavaScript are masked."""
    secret = 'p"<é>/w0rd&'
    for written in (json.dumps(secret), '"p\\"<é>/w0rd&"', '"p\\"\\u003cé\\u003e/w0rd\\u0026"', '"p\\"<é>\\/w0rd&"'):
        assert json.loads(written) == secret
        assert Mask([secret])(f"body {written}") == 'body "***"'


def test_in_hex() -> None:
    """Hexadecimal forms are masked in upper and lower case."""
    assert Mask([SECRET])(f"{SECRET.encode().hex()} {SECRET.encode().hex().upper()}") == "*** ***"


@pytest.mark.parametrize("columns", [64, 76])
def test_base64_over_several_lines(columns: int) -> None:
    """A secret in base64 that is wrapped into lines is masked, except for its end, which depends on the next byte."""
    secret = "".join(f"{n:x}" for n in range(120))
    lines = textwrap.wrap(base64.b64encode(f"{secret}\n".encode()).decode(), columns)
    masked = list(map(Mask([secret]), lines))
    assert masked[:-1] == ["***"] * (len(lines) - 1)
    assert masked[-1].startswith("***")
    assert len(masked[-1]) < 8


def test_secrets_that_overlap() -> None:
    """Two overlapping secrets leave no part of each other."""
    assert Mask(["abcdefgh", "efghijkl"])("x abcdefghijkl y") == "x *** y"


def test_a_secret_of_invalid_utf_8() -> None:
    """A secret of invalid UTF-8 is masked in the form that a log shows."""
    secret = b"p\xe4ssword".decode(errors="surrogateescape")
    assert Mask([secret])(b"is p\xe4ssword".decode(errors="replace")) == "is ***"
    assert Mask([secret])("p%E4ssword") == "***"


# The mask itself writes stars, so a secret of stars may appear in its output.
secrets = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=8, max_size=60)


@given(secrets, st.text(max_size=20), st.text(max_size=20), st.data())
def test_no_form_of_any_secret_is_left(secret: str, before: str, after: str, data: st.DataObject) -> None:
    """No form of a drawn secret is left, for any text around it."""
    form = data.draw(st.sampled_from(sorted({form for form in forms_of(secret) if len(form) >= 8})))
    assert form not in Mask([secret])(before + form + after)


@pytest.mark.timing
def test_masking_is_quick() -> None:
    """Masking a line with a private key and ten passwords costs less than writing it to disk."""
    key = "\n".join(f"{n:064x}" for n in range(50))
    mask = Mask([key, *(f"password-{n}-of-ten" for n in range(10))])
    line = "#12 0.345 Collecting requests==2.34.2 (from -r requirements.txt (line 523)), which is in the cache"
    costs = []
    for _ in range(5):
        before = time.process_time()
        for _ in range(200):
            mask(line)
        costs.append((time.process_time() - before) / 200)
    assert min(costs) < 0.001


def test_each_line_of_a_secret_of_several() -> None:
    """Each line of a private key is masked separately."""
    mask = Mask(["-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----"])
    assert mask("abcdefgh") == "***"
    assert mask("  ijklmnop") == "  ***"


def test_a_secret_that_is_part_of_another() -> None:
    """A secret that contains another is masked as a whole."""
    assert Mask(["token", "token-2024"])("token-2024 token") == "*** ***"


def test_values_too_short_to_hide() -> None:
    """Values of fewer than four characters are not masked."""
    assert Mask(["1", "", "abc"])("1 abc") == "1 abc"


def test_no_secret_no_change() -> None:
    """Without secrets, a text is unchanged."""
    assert Mask([])("text") == "text"
