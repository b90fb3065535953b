"""The meaning of rules in Python: wildcards, requests, and the reasons why a rule did not take one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Rule
from pipeline.balancer.model.application.wildcard import Wild, Wildcard

# Few letters, so that patterns and texts meet often.
TEXTS = st.text("ab.*?\\", max_size=8)


def meaning(pattern: str) -> re.Pattern[str]:
    """A pattern read letter by letter into an expression."""
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
    """A text matches as a regular expression says that is made in another way."""
    assert Wildcard.parse(pattern).matches(text) == bool(meaning(pattern).fullmatch(text))


@settings(deadline=None)
@given(parts=st.lists(st.sampled_from(["*", "?", "a", "b", "\\*", "\\?", "\\\\"]), max_size=8), data=st.data())
def test_what_is_made_from_a_pattern_matches_it(parts: list[str], data: st.DataObject) -> None:
    """Any text for a `*`, a letter for a `?`, the rest as it is: that matches, and without a `*` nothing shorter."""
    fills = {"*": st.text(max_size=4), "?": st.characters()}
    text = "".join(data.draw(fills[part]) if part in fills else part[-1] for part in parts)
    pattern = Wildcard.parse("".join(parts))
    assert pattern.matches(text)
    if text and "*" not in parts:
        assert not pattern.matches(text[:-1])


@settings(deadline=None)
@given(pattern=TEXTS, text=TEXTS)
def test_what_a_pattern_says_of_itself(pattern: str, text: str) -> None:
    """Where it has a literal, a prefix or a suffix, this is all that it asks for; and its wildcards are counted."""
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
    """A pattern is literal texts and wildcards in turn; a backslash only counts before what it takes the meaning of."""
    assert Wildcard.parse(pattern).parts == parts


def test_many_stars_take_no_time() -> None:
    """A pattern and a text that an expression would go through exponentially are compared in one go."""
    assert not Wildcard.parse("*a" * 60 + "b").matches("a" * 120)


def rule(priority: int, *conditions: dict[str, Any]) -> Rule:
    return Rule.model_validate(
        {"priority": priority, "conditions": conditions, "action": {"fixed_response": {"status_code": 200}}}
    )


REQUEST = HttpRequest("GET", "Shop.test:80", "/a", "k=1&x", (("X-A", "one"), ("x-a", "two")), "192.0.2.7")


def test_lowest_priority_is_taken() -> None:
    """Of the rules that match, the one with the lowest number is taken; those before it are told, in their order."""
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
    """Without a rule that matches there is none, and each has its reason."""
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
    """A miss says what the condition wants and what the request has."""
    _, misses = match([rule(1, condition)], REQUEST)
    assert [miss.reason for miss in misses] == [reason]


def test_first_condition_that_fails_is_told() -> None:
    """One reason is enough: that of the first condition that does not hold."""
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
    """Parameters are parted by &, each at its first =, and not decoded."""
    assert HttpRequest("GET", "", "/", query, (), "127.0.0.1").parameters() == parameters


def test_headers_of_a_name() -> None:
    """A header's name is the same in any case; its values keep their order."""
    assert REQUEST.header("X-a") == ["one", "two"]
    assert REQUEST.header("X") == []


def test_host_name() -> None:
    """A host counts without its port and in small letters."""
    assert REQUEST.host_name == "shop.test"


def test_source_of_version_6() -> None:
    """An address of one version is in no range of the other."""
    six = HttpRequest("GET", "", "/", None, (), "2001:db8::1")
    rules = [rule(1, {"source_ip": ["0.0.0.0/0"]}), rule(2, {"source_ip": ["2001:db8::/32"]})]
    assert match(rules, six)[0] is rules[1]
    assert match(rules, REQUEST)[0] is rules[0]
