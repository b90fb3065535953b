"""The meaning of `.dockerignore`. `tests/docker/test_dockerignore.py` compares it with Docker."""

from __future__ import annotations

import time

import pytest

from pipeline.base.errors import StageFailed
from pipeline.engine.docker.ignore import DockerIgnore
from tests.support.dockerignore_examples import EXAMPLES, PATHS
from tests.support.waiting import SOON


def excluded(text: str) -> set[str]:
    """Return the paths that a `.dockerignore` excludes."""
    ignore = DockerIgnore(text)
    return {path for path in PATHS if ignore.excludes(path)}


@pytest.mark.parametrize(("text", "paths"), EXAMPLES)
def test_patterns(text: str, paths: str) -> None:
    """Each pattern excludes exactly what Docker excludes."""
    assert excluded(text) == set(paths.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data\n[a", "line 2: '[a' is not a valid pattern: a [ is not closed"),
        ("!", "line 1: an exception needs a pattern after the !"),
        ("data\n\n!/ ", "line 3: an exception needs a pattern after the !"),
        ("[]a]", "line 1: '[]a]' is not a valid pattern: write \\] for a ] in brackets"),
        ("[z-a]", "line 1: '[z-a]' is not a valid pattern: a range in brackets ends before it begins"),
        ("a*[", "line 1: 'a*[' is not a valid pattern: a [ is not closed"),
        ("x" * 65536, "line 1: the line is longer than 65535 bytes"),
    ],
)
def test_invalid_patterns(text: str, message: str) -> None:
    """A pattern that Docker refuses is an error with its line."""
    with pytest.raises(StageFailed) as caught:
        excluded(text)
    assert caught.value.message == f".dockerignore, {message}"


def test_a_pattern_that_backtracks() -> None:
    """A hostile pattern takes no exponential time."""
    start = time.monotonic()
    assert not DockerIgnore("*a" * 40 + "b").excludes("a" * 250)
    assert time.monotonic() - start < SOON
