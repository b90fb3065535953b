"""Environment files mean what they mean to Docker Compose.

The expected values are from Compose's documentation of its syntax, and from what compose-go does where that is silent.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import ConfigError
from pipeline.config.dotenv import parse_dotenv

ENVIRON = {"OTHER": "other", "EMPTY": "", "SHELL_WINS": "shell"}


def value_of(line: str) -> str:
    (value,) = parse_dotenv(line, ENVIRON, ".env").values()
    return value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("VAR=VAL", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("VAR='VAL'", "VAL"),
        ("VAR: VAL", "VAL"),
        ("VAR = VAL  ", "VAL"),
        ("  export VAR=VAL", "VAL"),
        ("export\tVAR=VAL", "VAL"),
        ("VAR=", ""),
        ('VAR=""', ""),
        ("VAR=''", ""),
        ("VAR = ", ""),
        ("VAR=a b  c", "a b  c"),
        ("VAR=a=b", "a=b"),
        ("VAR: a=b", "a=b"),
        ("VAR=1:B", "1:B"),
        # Comments
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL #comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ("VAR=#3366ff", "#3366ff"),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ('VAR="VAL"# comment', "VAL"),
        ("VAR='VAL # not' # comment", "VAL # not"),
        # Quotes and escapes
        (r"VAR='Let\'s go!'", "Let's go!"),
        (r'VAR="{\"hello\": \"json\"}"', '{"hello": "json"}'),
        (r'VAR="some\tvalue"', "some\tvalue"),
        (r"VAR='some\tvalue'", r"some\tvalue"),
        (r"VAR=some\tvalue", r"some\tvalue"),
        (r'VAR="a\nb\r\\c"', "a\nb\r\\c"),
        (r'VAR="\a\b\f\v"', "\a\b\f\v"),
        (r'VAR="\0123"', "S"),
        (r'VAR="\x07\u12e4"', r"\x07\u12e4"),
        (r'VAR="bar\\"', "bar\\"),
        ('VAR="it\'s"', "it's"),
        ("VAR='say \"it\"'", 'say "it"'),
        ("VAR=it's", "it's"),
        ("VAR='first\nsecond'", "first\nsecond"),
        ('VAR="first\nsecond"', "first\nsecond"),
        # Interpolation
        ("VAR=$OTHER", "other"),
        ("VAR=${OTHER}", "other"),
        ('VAR="a ${OTHER} b"', "a other b"),
        ("VAR='$OTHER'", "$OTHER"),
        ("VAR='${OTHER}'", "${OTHER}"),
        ("VAR=$OTHER.txt", "other.txt"),
        ("VAR=$$OTHER", "$OTHER"),
        (r'VAR="\$OTHER"', "$OTHER"),
        ("VAR=pa$5word$", "pa$5word$"),
        ("VAR=a$", "a$"),
        ("VAR=${EMPTY:-default}", "default"),
        ("VAR=${EMPTY-default}", ""),
        ("VAR=${UNSET:-default}", "default"),
        ("VAR=${UNSET-default}", "default"),
        ("VAR=${OTHER:-default}", "other"),
        ("VAR=${UNSET:-}", ""),
        ("VAR=${OTHER:+replacement}", "replacement"),
        ("VAR=${EMPTY:+replacement}", ""),
        ("VAR=${EMPTY+replacement}", "replacement"),
        ("VAR=${UNSET+replacement}", ""),
        ("VAR=${OTHER:?must be set}", "other"),
        ("VAR=${EMPTY?must be set}", ""),
        ("VAR=${UNSET:-${OTHER}}", "other"),
        ("VAR=${UNSET:-${UNSET:-a}b}", "ab"),
        ("VAR=${OTHER:+$OTHER!}", "other!"),
    ],
)
def test_a_value(line: str, value: str) -> None:
    """Each line has the value that it has for Compose, with any end of line."""
    for end in ("", "\n", "\r\n", "\n\n# more\n"):
        assert value_of(line + end) == value


def test_a_file() -> None:
    """Comments and empty lines are ignored, the last of two lines counts, and names may have dots and dashes."""
    text = "# first\n\n  # second\nA=1\nB=2 # two\nspring.url=x\nmy-name[0]=y\nA=3\nC=${A}${B}\n"
    assert parse_dotenv(text, ENVIRON, ".env") == {
        "A": "3",
        "B": "2",
        "spring.url": "x",
        "my-name[0]": "y",
        "C": "32",
    }


def test_the_environment_comes_first() -> None:
    """In a value, a variable of the environment counts more than a line above."""
    assert parse_dotenv("SHELL_WINS=file\nVAR=$SHELL_WINS\n", ENVIRON, ".env")["VAR"] == "shell"


def test_without_an_environment_nothing_is_interpolated() -> None:
    """A `$` is literal in the file of a systemd unit."""
    assert parse_dotenv('A=$B\nC="${D}"\n', None, ".env") == {"A": "$B", "C": "${D}"}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("A=1\nhunter two\n", 2, "must have the form NAME=value"),
        ("A=1\n\n=hunter\n", 3, "must have the form NAME=value"),
        ("A=1\nB='two\nthree\n", 2, "the value has no closing '"),
        ('A="one\ntwo"\nB="hunter', 3, 'the value has no closing "'),
        ("A='hunter'two", 1, "must have nothing but a comment after the closing '"),
        ("A=hunter$two", 1, "a variable in the value is not set; write $$ or single quotes for a literal $"),
        ("A=${UNSET:?is needed}", 1, "UNSET is not set: is needed"),
        ("A=${EMPTY:?is needed}", 1, "EMPTY is not set: is needed"),
        ("A=${OTHER", 1, "${ must be closed with }; write $$ for a $"),
        ("A=${OTHER/a/b}", 1, "${NAME} must continue with :-, :? or :+, or end; write $$ for a $"),
        ("A=${}", 1, "${...} must contain a variable name; write $$ for a $"),
    ],
)
def test_a_mistake(text: str, line: int, reason: str) -> None:
    """The error names the line and what to write, and never shows the value."""
    with pytest.raises(ConfigError) as caught:
        parse_dotenv(text, ENVIRON, ".env")
    assert caught.value.message == f".env:{line}: {reason}"


@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_single_quotes_keep_every_text(value: str) -> None:
    """A quoted text is read back, whatever is in it, except a backslash before a quote or at the end."""
    if "\\" not in value:
        quoted = value.replace("'", "\\'")
        assert parse_dotenv(f"A='{quoted}'\n", ENVIRON, ".env") == {"A": value}


@given(text=st.text(alphabet="A=:$\"'\\{}#-? \n"))
def test_every_text_is_read_or_refused(text: str) -> None:
    """There is no other error than `ConfigError`."""
    with suppress(ConfigError):
        assert all(isinstance(value, str) for value in parse_dotenv(text, ENVIRON, ".env").values())
