"""The difference of two configurations names each key that differs, and shows no secret."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pipeline.http.configuration_difference import HIDDEN, configuration_changes

REFERENCE = "${secret:DB}"


def changes(before: Any, after: Any) -> list[tuple[str, str, Any, Any]]:
    """Return the changes as tuples."""
    return [(each.key, each.change, each.before, each.after) for each in configuration_changes(before, after)]


def test_equal_configurations_have_no_change() -> None:
    """A key that is left out and one without a value are equal."""
    assert changes({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}) == []


def test_each_key_is_named_by_its_path() -> None:
    """Keys are in the order of the second configuration, those that are removed at the end."""
    before = {"deploy": {"memory": "256M", "gone": 1, "environment": {"LEVEL": "info"}}}
    after = {"deploy": {"environment": {"LEVEL": "debug", "NEW": "x"}, "memory": "512M"}}
    assert changes(before, after) == [
        ("deploy.environment.LEVEL", "changed", "info", "debug"),
        ("deploy.environment.NEW", "added", None, "x"),
        ("deploy.memory", "changed", "256M", "512M"),
        ("deploy.gone", "removed", 1, None),
    ]


def test_an_added_section_is_listed_key_by_key() -> None:
    """Empty sections say nothing and are left out."""
    assert changes({}, {"web": {"memory": "1G", "volumes": [], "hooks": {}, "command": ["serve"]}}) == [
        ("web.memory", "added", None, "1G"),
        ("web.command", "added", None, ["serve"]),
    ]


def test_an_inserted_rule_does_not_change_those_after_it() -> None:
    """A list of objects is compared object by object."""
    first, second, third = ({"path": path, "forward": "web"} for path in "abc")
    assert changes({"rules": [first, third]}, {"rules": [first, second, third]}) == [
        ("rules[1]", "added", None, second)
    ]
    assert changes({"rules": [first, second, third]}, {"rules": [first, third]}) == [
        ("rules[1]", "removed", second, None)
    ]
    changed = [first, {**second, "forward": "api"}, third]
    assert changes({"rules": [first, second, third]}, {"rules": changed}) == [
        ("rules[1].forward", "changed", "web", "api")
    ]


def test_a_list_of_texts_is_shown_as_a_whole() -> None:
    """The order of arguments counts."""
    assert changes({"command": ["a", "b"]}, {"command": ["b", "a"]}) == [("command", "changed", ["a", "b"], ["b", "a"])]


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "DB_PASS",
        "db_passwd",
        "API_TOKEN",
        "client_secret",
        "AWS_ACCESS_KEY_ID",
        "SENTRY_DSN",
        "PRIVATE_PEM",
    ],
)
def test_a_value_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    """Also within a list and within an added section. A reference to a secret is shown."""
    assert changes({name: "one"}, {name: "two"}) == [(name, "changed", HIDDEN, HIDDEN)]
    assert changes({}, {"env": {name: ["one"]}}) == [(f"env.{name}", "added", None, [HIDDEN])]
    assert changes({"list": [{}]}, {"list": [{}, {name: "one"}]}) == [("list[1]", "added", None, {name: HIDDEN})]
    assert changes({name: "one"}, {name: REFERENCE}) == [(name, "changed", HIDDEN, REFERENCE)]
    assert changes({}, {name: f"x{REFERENCE}"}) == [(name, "added", None, HIDDEN)]


@pytest.mark.parametrize("name", ["PATH", "COMPASS", "passenger", "host", "KEYBOARD", "BYPASS_CACHE", "key"])
def test_other_values_are_shown(name: str) -> None:
    """A name that only contains the letters of one is no secret."""
    assert changes({}, {name: "one"}) == [(name, "added", None, "one")]


def test_sizes_have_a_unit() -> None:
    """As in pipeline.yaml. Other numbers have none."""
    assert changes({"memory": 2**28, "count": 2**10}, {"memory": 2**29, "count": 2**11, "max_size": 100}) == [
        ("memory", "changed", "256MiB", "512MiB"),
        ("count", "changed", 2**10, 2**11),
        ("max_size", "added", None, "100"),
    ]


def test_a_password_in_a_url_is_hidden() -> None:
    """The rest of the URL is shown."""
    found = changes({"URL": "postgres://shop:one@db/shop"}, {"URL": "postgres://shop:two@other/shop?a=b@c"})
    assert found == [
        ("URL", "changed", f"postgres://{HIDDEN}@db/shop", f"postgres://{HIDDEN}@other/shop?a=b@c"),
    ]


def test_a_change_from_one_form_to_another_is_one_change() -> None:
    """Such as a number in place of an object, or a text in place of a list of objects."""
    assert changes({"strategy": "rolling"}, {"strategy": {"canary": {"steps": [10]}}}) == [
        ("strategy", "changed", "rolling", {"canary": {"steps": [10]}})
    ]
    assert changes({"on": False}, {"on": 0}) == []


def test_a_long_text_takes_no_long_time() -> None:
    """It is read once, also if it could be a URL with a password in many ways."""
    began = time.thread_time()
    assert changes({}, {"value": "x://" + ":" * 30_000}) == [("value", "added", None, "x://" + ":" * 30_000)]
    assert time.thread_time() - began < 1
    assert changes({}, {"url": "db://ann:p:w@x@host/a"}) == [("url", "added", None, f"db://{HIDDEN}@host/a")]
