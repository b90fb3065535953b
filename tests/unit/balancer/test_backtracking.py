"""The estimate of how long a text a regular expression can take."""

from __future__ import annotations

import pytest

from pipeline.balancer.backtracking import safe_length
from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Rule


@pytest.mark.parametrize(
    "regex",
    [
        r"^/secret$",
        "secret",
        r"^/v[0-9]+/",
        r"^/v[0-9]+/.*$",
        r"^(/[a-z]+)*$",
        r"^/(foo|bar)/[^/]+/x$",
        r"^(?:[a-z]+\.)+php$",
        r"\.(jpg|png)$",
        r"^\d{4}-\w+$",
    ],
)
def test_usual_expressions_are_sure(regex: str) -> None:
    """One repetition, or several that cannot take each other's text, cost a few steps for each character."""
    assert safe_length(regex) is None


@pytest.mark.parametrize(
    ("regex", "length"),
    [
        (r"^/x(.*)(.*)y", 4472),
        (r"secret.*x", 4472),
        (r"^/.*a.*b.*c$", 391),
        (r".*a.*b.*c.*d", 124),
        (r"(a+)+$", 23),
        (r"^(.*)*secret", 23),
        (r"^/(a|aa)+$", 23),
        (r"^((a*)b?)*c", 23),
    ],
)
def test_repetitions_that_compete_are_not(regex: str, length: int) -> None:
    """The steps grow with a power of the length, or double with each character."""
    assert safe_length(regex) == length


def test_explain_does_not_claim_a_match_beyond_it() -> None:
    """HAProxy may give up on the expression, so the rule is said not to apply, and why."""
    rule = Rule.model_validate(
        {
            "priority": 1,
            "conditions": [{"path_pattern": {"regex_values": ["^/(a+)+b$"]}}],
            "action": {"fixed_response": {"status_code": 403}},
        }
    )
    request = HttpRequest("GET", "shop.test", "/" + "a" * 1400, None, (), "127.0.0.1")
    found, (mismatch,) = match([rule], request)
    assert found is None
    assert "1401 characters: beyond" in mismatch.reason
    assert "HAProxy may give up" in mismatch.reason
    short, _ = match([rule], HttpRequest("GET", "shop.test", "/aab", None, (), "127.0.0.1"))
    assert short == rule
