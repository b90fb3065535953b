"""No form of a secret gets through the mask."""

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


def test_url_encoded_in_small_letters() -> None:
    """As Java and .NET write it."""
    assert Mask([SECRET])("p4ss%2fw0rd%2b%c3%a9%3d%3f") == "***"


def test_in_json() -> None:
    """Escaped as Python, Go, PHP and JavaScript do, each in its own way."""
    secret = 'p"<é>/w0rd&'
    for written in (json.dumps(secret), '"p\\"<é>/w0rd&"', '"p\\"\\u003cé\\u003e/w0rd\\u0026"', '"p\\"<é>\\/w0rd&"'):
        assert json.loads(written) == secret
        assert Mask([secret])(f"body {written}") == 'body "***"'


def test_in_hex() -> None:
    """As `xxd -p` and most programs that show bytes."""
    assert Mask([SECRET])(f"{SECRET.encode().hex()} {SECRET.encode().hex().upper()}") == "*** ***"


@pytest.mark.parametrize("columns", [64, 76])
def test_base64_over_several_lines(columns: int) -> None:
    """`base64` breaks a long secret into lines, and nothing but its very end depends on the newline behind it."""
    secret = "".join(f"{n:x}" for n in range(120))
    lines = textwrap.wrap(base64.b64encode(f"{secret}\n".encode()).decode(), columns)
    masked = list(map(Mask([secret]), lines))
    assert masked[:-1] == ["***"] * (len(lines) - 1)
    assert masked[-1].startswith("***")
    assert len(masked[-1]) < 8


def test_secrets_that_overlap() -> None:
    """Neither leaves a part of the other behind."""
    assert Mask(["abcdefgh", "efghijkl"])("x abcdefghijkl y") == "x *** y"


def test_a_secret_that_is_no_utf_8() -> None:
    """The environment may hold any bytes, and a log shows them as what they are not."""
    secret = b"p\xe4ssword".decode(errors="surrogateescape")
    assert Mask([secret])(b"is p\xe4ssword".decode(errors="replace")) == "is ***"
    assert Mask([secret])("p%E4ssword") == "***"


# Where masking is what makes stars, a secret of stars could come out of it.
secrets = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=8, max_size=60)


@given(secrets, st.text(max_size=20), st.text(max_size=20), st.data())
def test_no_form_of_any_secret_is_left(secret: str, before: str, after: str, data: st.DataObject) -> None:
    """Whatever stands around it."""
    form = data.draw(st.sampled_from(sorted({form for form in forms_of(secret) if len(form) >= 8})))
    assert form not in Mask([secret])(before + form + after)


def test_masking_is_quick() -> None:
    """A line costs less than the disk it goes to, with a private key and ten passwords to look for."""
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
