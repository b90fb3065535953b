"""Skip marks in commit messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triggers.skip import skip_reason


@pytest.mark.parametrize(
    "mark",
    [
        *("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]", "***NO_CI***", "[skip penstock]"),
        *("[SKIP CI]", "[Ci Skip]", "[skip-ci]", "[ci_skip]", "[penstock skip]", "[no penstock]", "***no_ci***"),
    ],
)
def test_a_mark_counts_wherever_it_stands(mark: str) -> None:
    """A mark is recognised anywhere in the subject or the body, in any case."""
    for message in (
        mark,
        f"{mark} Fix a word",
        f"Fix a word {mark}",
        f"Fix\n\nOnly words. {mark} Nothing else.\n",
        f"x{mark}x",
    ):
        assert skip_reason(message) == f"the commit message contains {mark}"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Skip CI where nothing changed",
        "[skip]",
        "[skip cider]",
        "skip ci",
        "[ skip ci ]",
        "(skip ci)",
        "[skip\nci]",
        "NO_CI",
        "**NO_CI**",
        "[ci]",
        "skip-checks: true",
        "Say how\n\nWrite this:\nskip-checks: true",
        "Say how\n\nskip-checks: true\n\nat the end.",
        "Fix\n\nskip-checks: false",
        "Fix\n\nskip-checks: trueish",
        "Fix\n\nno-skip-checks: true",
    ],
)
def test_a_similar_text_does_not_skip(message: str) -> None:
    """A text that only resembles a mark does not skip the commit."""
    assert skip_reason(message) is None


@pytest.mark.parametrize(
    "message",
    [
        "Fix\n\nskip-checks: true",
        "Fix\n\nskip-checks:true\n",
        "Fix\n\nWhy.\n\nSKIP-CHECKS: True",
        "Fix\r\n\r\nskip-checks: true\r\n",
        "Fix\n\nWhy.\n\n\nReviewed-by: Ada <ada@example.com>\n  and others\nskip-checks: true\n\n",
        "Fix\n\nskip-checks: true\nSigned-off-by: Ada <ada@example.com>",
    ],
)
def test_a_trailer_counts_among_trailers(message: str) -> None:
    """`skip-checks: true` counts only in a last paragraph of trailers."""
    assert skip_reason(message) == "the commit message contains skip-checks: true"


@given(message=st.text())
def test_any_message_is_understood(message: str) -> None:
    """No message raises an error."""
    assert skip_reason(message) is None or "[" in message or "*" in message or "skip-checks" in message.lower()
