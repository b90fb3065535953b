"""The estimate of how long a text a regular expression can take."""

from __future__ import annotations

import pytest

from pipeline.balancer.backtracking import safe_length
from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Rule
from pipeline.base.time_limit import time_limit


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
        r"^(\d{1,3}\.){3}\d{1,3}$",
        r"^(/[a-z0-9-]{1,20}){1,5}$",
        r"^/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^/(de|en|fr)/[a-z]{2,5}$",
        r"^/.{0,255}$",
        r"[a-z]{3,5}[0-9]{1,4}x",
        r"(\.|%2e){2}",
        r"(?:jpg|jpeg|png|gif|bmp|svg|ico|webp|avif)",
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
        (r"()(a+)+", 23),
        (r"(?>(a+)+b)c", 23),
        (r"^[a-z]+Z[a-z]+Z", 4472),
        (r"([a-z]{1,20}[.-]?){1,20}\.php$", 23),
        (r"^/[a-z]{0,200}[a-z]{0,200}[a-z]{0,200}[a-z]{0,200}x/", 124),
        (r"^/[a-z]{0,200}[a-z]{0,200}[a-z]{0,200}[a-z]{0,200}x/|evil", 56),
        (r"a{0,3000}b{0,3000}c", 4472),
        (r"([a-z]+){2,9}1", 18),
        (r"(a|aa){1,30}b", 23),
        (r"((a{1,9}b?){1,9}c?){1,9}", 23),
        (r"^/(a?){30}a{30}$", 3),
        (r"(?:a?){64}b", 3),
        ("^/" + "a?" * 40 + "a{40}$", 3),
        ("^/" + "(?:a|ab)" * 40 + "$", 3),
    ],
)
def test_repetitions_that_compete_are_not(regex: str, length: int) -> None:
    """The steps grow with a power of the length, or double with each character."""
    assert safe_length(regex) == length


@pytest.mark.parametrize(
    ("regex", "path"),
    [
        (r"([a-z]{1,20}[.-]?){1,20}\.php$", "/" + "a" * 60 + "/x.php"),
        (r"^/[a-z]{0,200}[a-z]{0,200}[a-z]{0,200}[a-z]{0,200}x/|evil", "/" + "a" * 400),
        (r"^/(a?){30}b?a{30}$", "/" + "a" * 29),
        (r"([a-z]+){2,9}1", "/" + "a" * 400),
        ("^/" + "a?" * 30 + "a{30}$", "/" + "a" * 29),
    ],
)
def test_rules_are_matched_in_time(regex: str, path: str) -> None:
    """An expression that takes for ever is not evaluated."""
    rule = {"priority": 1, "conditions": [{"path_pattern": {"regex_values": [regex]}}], "action": {"forward": "web"}}
    with time_limit(1):
        match([Rule.model_validate(rule)], HttpRequest("GET", "shop.test", path, None, (), "127.0.0.1"))


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
