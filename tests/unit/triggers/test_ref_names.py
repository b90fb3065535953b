"""Validation of ref and object names from outside."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.triggers.ref_names import is_object_name, is_ref
from tests.support.sample import sampled

# Parts of valid names, and characters that make a name invalid.
_PIECES = ["a", "main", "v1.2", "ö", "/", ".", "..", "-", "@", "{", "@{", "~", "^", ":", "?", "*", "[", "]", "\\", " "]
_PIECES += [
    ".lock",
    "HEAD",
    "\n",
    "\0",
    "\t",
    "\x7f",
    "\u202e",
    "\xa0",
    "#",
    "$",
    ";",
    "'",
    '"',
    "|",
    "&",
    "+",
    "%",
    "=",
]
_NAMES = st.lists(st.sampled_from(_PIECES), max_size=5).map("".join)


@pytest.mark.parametrize(
    "name", ["main", "release/2026", "größe", "v1.2.0", "a-b_c", "fix/#12", "日本語", "a@b", "x" * 240]
)
def test_names_in_use_are_refs(name: str) -> None:
    """Common names of branches and tags are accepted."""
    assert is_ref(f"refs/heads/{name}")
    assert is_ref(f"refs/tags/{name}")
    assert not is_ref(name)


@given(name=_NAMES)
@settings(max_examples=sampled(150), deadline=None)
def test_what_is_accepted_is_accepted_by_git(name: str) -> None:
    """Git accepts every name that `is_ref` accepts, as a ref and as a branch name."""
    if is_ref(f"refs/heads/{name}"):
        for command in (
            ["git", "check-ref-format", f"refs/heads/{name}"],
            ["git", "check-ref-format", "--branch", name],
        ):
            assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@given(name=_NAMES)
@settings(max_examples=sampled(150), deadline=None)
def test_what_git_forbids_is_refused(name: str) -> None:
    """`is_ref` rejects every name that git rejects."""
    if "\0" not in name:
        refused = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], capture_output=True, check=False)
        if refused.returncode:
            assert not is_ref(f"refs/heads/{name}")


@pytest.mark.parametrize(
    "name", ["refs/heads/-x", "refs/heads/a/--exec", "refs/heads/HEAD", "refs/heads/a\u200bb", 1, None]
)
def test_names_that_git_would_take_may_still_be_refused(name: object) -> None:
    """Names that look like an option, are not printable or are not text are rejected."""
    assert not is_ref(name)


def test_an_object_name_is_whole() -> None:
    """An object name has exactly 40 or 64 digits in lower case."""
    assert is_object_name("0123456789abcdef" * 4)
    assert is_object_name("0123456789" * 4)
    for wrong in ("", "a" * 39, "a" * 41, "A" * 40, "g" * 40, "a" * 40 + "\n", "a" * 63, 1, None, b"a" * 40):
        assert not is_object_name(wrong)
