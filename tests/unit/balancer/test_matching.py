"""Rule matching in Python: wildcards, requests, and the reasons of mismatches."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.matching import HttpRequest, match, with_test_traffic
from pipeline.balancer.model import Action, Rule
from pipeline.balancer.model.application.wildcard import Wild, Wildcard

# Few letters, so that patterns and texts meet often.
TEXTS = st.text("ab.*?\\", max_size=8)


def meaning(pattern: str) -> re.Pattern[str]:
    """Return a pattern translated character by character to a regular expression."""
    found, letters = "", iter(pattern)
    for letter in letters:
        if letter == "\\":
            following = next(letters, "")
            escapes = following != "" and following in "*?\\"
            if escapes:
                found += re.escape(following)
            else:
                found += re.escape("\\")
                found += {"*": ".*", "?": "."}.get(following, re.escape(following))
        else:
            found += {"*": ".*", "?": "."}.get(letter, re.escape(letter))
    return re.compile(found, re.DOTALL)


@settings(deadline=None)
@given(pattern=TEXTS, text=TEXTS)
def test_wildcards_mean_what_an_expression_means(pattern: str, text: str) -> None:
    """A pattern matches the same texts as an equivalent regular expression."""
    assert Wildcard.parse(pattern).matches(text) == bool(meaning(pattern).fullmatch(text))


@settings(deadline=None)
@given(parts=st.lists(st.sampled_from(["*", "?", "a", "b", "\\*", "\\?", "\\\\"]), max_size=8), data=st.data())
def test_what_is_made_from_a_pattern_matches_it(parts: list[str], data: st.DataObject) -> None:
    """A text generated from a pattern matches it."""
    fills = {"*": st.text(max_size=4), "?": st.characters()}
    text = "".join(data.draw(fills[part]) if part in fills else part[-1] for part in parts)
    pattern = Wildcard.parse("".join(parts))
    assert pattern.matches(text)
    if text and "*" not in parts:
        assert not pattern.matches(text[:-1])


@settings(deadline=None)
@given(pattern=TEXTS, text=TEXTS)
def test_what_a_pattern_says_of_itself(pattern: str, text: str) -> None:
    """A pattern's literal, prefix and suffix describe all that it matches."""
    read = Wildcard.parse(pattern)
    assert read.wilds == len(re.sub(r"\\[*?\\]", "", pattern)) - len(re.sub(r"\\[*?\\]|[*?]", "", pattern))
    if read.literal is not None:
        assert read.matches(text) == (text == read.literal)
    if read.prefix is not None:
        assert read.matches(text) == text.startswith(read.prefix)
    if read.suffix is not None:
        assert read.matches(text) == text.endswith(read.suffix)


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("", ()),
        ("a.b", ("a.b",)),
        ("*", (Wild.ANY,)),
        ("a*?b", ("a", Wild.ANY, Wild.ONE, "b")),
        ("\\*a\\?", ("*a?",)),
        ("\\\\*", ("\\", Wild.ANY)),
        ("\\a\\", ("\\a\\",)),
        ("a\\", ("a\\",)),
    ],
)
def test_parts(pattern: str, parts: tuple[str | Wild, ...]) -> None:
    """A pattern is literal texts and wildcards in turn, and a backslash only escapes special characters."""
    assert Wildcard.parse(pattern).parts == parts


def test_many_stars_take_no_time() -> None:
    """A pattern and a text with exponential backtracking are matched in linear time."""
    assert not Wildcard.parse("*a" * 60 + "b").matches("a" * 120)


def rule(priority: int, *conditions: dict[str, Any]) -> Rule:
    return Rule.model_validate(
        {"priority": priority, "conditions": conditions, "action": {"fixed_response": {"status_code": 200}}}
    )


REQUEST = HttpRequest("GET", "Shop.test:80", "/a", "k=1&x", (("X-A", "one"), ("x-a", "two")), "192.0.2.7")


def test_lowest_priority_is_taken() -> None:
    """The matching rule with the lowest number applies, and earlier mismatches are in order."""
    rules = [
        rule(30, {"path_pattern": ["/a"]}),
        rule(10, {"path_pattern": ["/b"]}),
        rule(20, {"host_header": ["shop.test"]}),
        rule(5, {"http_request_method": ["PUT"]}),
    ]
    taken, misses = match(rules, REQUEST)
    assert taken is rules[2]
    assert [miss.rule.priority for miss in misses] == [5, 10]


def test_nothing_matches() -> None:
    """Without a matching rule the result is None, and each rule has its reason."""
    assert match([], REQUEST) == (None, [])
    taken, misses = match([rule(1, {"path_pattern": ["/b"]})], REQUEST)
    assert taken is None
    assert len(misses) == 1


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"host_header": ["a.test", "*.b.test"]}, "host_header requires a.test or *.b.test, but the host is shop.test"),
        (
            {"host_header": {"regex_values": ["^a", "b$"]}},
            "host_header requires /^a/ or /b$/, but the host is shop.test",
        ),
        ({"path_pattern": ["/b*"]}, "path_pattern requires /b*, but the path is /a"),
        (
            {"http_header": {"name": "X-A", "values": ["three"]}},
            "http_header requires X-A: three, but it is one, two",
        ),
        ({"http_header": {"name": "X-B", "values": ["b"]}}, "http_header requires X-B: b, but there is none"),
        ({"http_request_method": ["PUT", "POST"]}, "http_request_method requires PUT or POST, but it is GET"),
        (
            {"query_string": [{"key": "k", "value": "2"}, {"value": "3"}]},
            "query_string requires k=2 or 3, but the query is k=1&x",
        ),
        ({"source_ip": ["198.51.100.0/24"]}, "source_ip requires 198.51.100.0/24, but the client is 192.0.2.7"),
    ],
)
def test_reason(condition: dict[str, Any], reason: str) -> None:
    """A mismatch names the required and the actual value."""
    _, misses = match([rule(1, condition)], REQUEST)
    assert [miss.reason for miss in misses] == [reason]


def test_first_condition_that_fails_is_told() -> None:
    """A mismatch names the first condition that does not hold."""
    _, misses = match(
        [rule(1, {"path_pattern": ["/a"]}, {"http_request_method": ["PUT"]}, {"host_header": ["b.test"]})], REQUEST
    )
    assert [miss.reason for miss in misses] == ["http_request_method requires PUT, but it is GET"]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (None, []),
        ("", [("", "")]),
        ("a", [("a", "")]),
        ("a=", [("a", "")]),
        ("a=b=c&&d", [("a", "b=c"), ("", ""), ("d", "")]),
        ("a=%26&b=+", [("a", "%26"), ("b", "+")]),
    ],
)
def test_parameters(query: str | None, parameters: list[tuple[str, str]]) -> None:
    """Parameters are separated by &, split at the first =, and not decoded."""
    assert HttpRequest("GET", "", "/", query, (), "127.0.0.1").parameters() == parameters


def test_headers_of_a_name() -> None:
    """A header's name is case-insensitive, and its values keep their order."""
    assert REQUEST.header("X-a") == ["one", "two"]
    assert REQUEST.header("X") == []


def test_host_name() -> None:
    """A host is compared without its port and in lower case."""
    assert REQUEST.host_name == "shop.test"


def test_source_of_version_6() -> None:
    """An address of one version is in no range of the other."""
    six = HttpRequest("GET", "", "/", None, (), "2001:db8::1")
    rules = [rule(1, {"source_ip": ["0.0.0.0/0"]}), rule(2, {"source_ip": ["2001:db8::/32"]})]
    assert match(rules, six)[0] is rules[1]
    assert match(rules, REQUEST)[0] is rules[0]


@pytest.mark.parametrize(
    ("headers", "groups"),
    [
        ((("x-release", "next"),), ["web-next"]),
        ((("X-Release", "other"), ("X-RELEASE", "next")), ["web-next"]),
        ((("X-Release", "Next"),), ["web", "web-next", "api"]),
        ((), ["web", "web-next", "api"]),
    ],
)
def test_a_header_leads_to_an_alternate_group(headers: tuple[tuple[str, str], ...], groups: list[str]) -> None:
    """A request with the exact value of the header reaches the alternate group only."""
    header = {"name": "X-Release", "value": "next"}
    home = {"target_group": "web", "alternate": {"target_group": "web-next", "share": 0, "header": header}}
    action = Action.model_validate({"forward": [home, "api"]})
    request = HttpRequest("GET", "shop.test", "/", None, headers, "127.0.0.1")
    assert [group.target_group for group in with_test_traffic(action, request).groups()] == groups
    plain = Action.model_validate({"fixed_response": {"status_code": 200}})
    assert with_test_traffic(plain, request) is plain
