"""Rules as maps and lists: their size, and that every rule in them is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.haproxy import patterns as pattern_lists
from pipeline.balancer.haproxy.index import DEFAULT, Index, entries
from pipeline.balancer.haproxy.patterns import Pattern, PatternLists
from pipeline.balancer.haproxy.rules import RuleMatching
from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Rule
from pipeline.balancer.model.application.wildcard import Wildcard
from tests.support.paths import ROOT
from tests.support.sample import sampled
from tests.unit.balancer.rules import Names, rule


def thousand(of: Callable[[int], tuple[Names, Names]]) -> list[Rule]:
    return [rule(number, *of(number)) for number in range(1, 1001)]


# How a thousand rules may look. The first five are what a map holds, the rest what lists do.
SHAPES: dict[str, Callable[[int], tuple[Names, Names]]] = {
    "hosts": lambda n: ([f"h{n}.example.com"], [f"/p{n}/*"]),
    "paths": lambda n: (None, [f"/p{n}*"]),
    "tenants beside wildcards": lambda n: ([f"t{n}.example.com" if n % 2 else "*.example.com"], [f"/p{n}"]),
    "wildcards in wildcards": lambda n: ([f"*.{'a.' * (n % 40)}example.com"], [f"/p{n}/*"]),
    "beginnings": lambda n: ([f"h{n:04}.*"], [f"/p{n}"]),
    "beginnings in beginnings": lambda n: ([f"{'a' * (n % 100 + 1)}.{'b' * (n % 7)}*"], [f"/p{n}"]),
    "nested paths": lambda n: (None, [f"/{'a' * (n % 100)}*"]),
    "several values": lambda n: ([f"h{n}.test", "*.test"], [f"/p{n}", f"/q{n}/*", "/r*"]),
    "anywhere in paths": lambda n: (None, [f"*/p{n}/*"]),
    "endings": lambda n: (None, [f"*.p{n}"]),
    "patterns with one beginning": lambda n: (None, [f"/api/*/p{n}"]),
    "patterns with beginnings of their own": lambda n: (None, [f"/p{n}/?/*x"]),
    "patterns with nested beginnings": lambda n: (None, [f"/{'a' * (n % 100)}?x{n}"]),
    "patterns of hosts": lambda n: ([f"h{n}-?.example.com"], [f"/p{n}"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_rules_make_no_long_files(shape: str) -> None:
    """Files have about one line for each value, and the configuration hardly grows."""
    matching = RuleMatching(thousand(SHAPES[shape]), "l")
    lines = sum(content.count("\n") for content in matching.files().values())
    assert lines <= 5_500
    assert len(list(matching.lines())) <= 250


@pytest.mark.timing
@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_rules_are_rendered_quickly(shape: str) -> None:
    """The fastest of three renderings takes less than half a second."""
    rules, times = thousand(SHAPES[shape]), []
    for _ in range(3):
        Wildcard.parse.cache_clear()
        begun = time.process_time()
        matching = RuleMatching(rules, "l")
        matching.files(), list(matching.lines())
        times.append(time.process_time() - begun)
    assert min(times) < 0.3


def test_files_are_the_same_in_every_process() -> None:
    """Two processes with different hash seeds render the same lines and files. A difference would reload HAProxy."""
    command = [sys.executable, "-m", "tests.unit.balancer.print_rules"]
    printed = {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_other_conditions_are_in_no_index() -> None:
    """A rule with other conditions than host and path is not in the index."""
    rules = [
        rule(1, ["a.test"], ["/a"]),
        rule(2, ["a.test"], http_request_method=["GET"]),
        rule(3, host_header={"regex_values": ["a"]}),
    ]
    assert [entries(found) is None for found in rules] == [False, True, True]
    assert Index.from_rules(rules).others == rules[1:]


def test_a_path_with_a_question_mark_matches_nothing() -> None:
    """The path of a request ends at its first question mark."""
    assert entries(rule(1, paths=["/a\\?b"])) == []
    assert len(entries(rule(1, paths=["/a\\?b", "/c"])) or ()) == 1


# --- The maps and lists, read as HAProxy reads them

HOSTS = ["a.test", "b.a.test", "*.test", "*.a.test", "a.*", "a.t*", "b.*", "?.test", "*a*.test", "b*.te?t"]
PATHS = ["/", "/a", "/a/*", "/a*", "/ab/*", "*.png", "/a?b", "/*/c", "/ab?c*d", "*b*", "*", "/a\\*"]


def allowed(texts: tuple[list[str], list[str]]) -> bool:
    """Return whether a rule may have these hosts and paths."""
    every = [text for some in texts for text in some]
    return 1 <= len(every) <= 5 and sum(Wildcard.parse(text).wilds for text in every) <= 5


rule_lists = st.lists(
    st.tuples(
        st.lists(st.sampled_from(HOSTS), max_size=2),
        st.lists(st.sampled_from(PATHS), max_size=2),
    ).filter(allowed),
    max_size=12,
)


def longest(content: str, text: str) -> str | None:
    """Return the result of HAProxy's `map_beg`."""
    pairs = [line.split(" ") for line in content.splitlines()]
    found = [(key, value) for key, value in pairs if text.startswith(key)]
    return max(found, key=lambda pair: len(pair[0]))[1] if found else None


def looked_up(rules: list[Rule], host: str, path: str) -> int:
    """Return the lowest priority in the index of the rules, without patterns."""
    index = Index.from_rules(rules)
    keys = "".join(f"{key} {priority}\n" for key, priority in index.keys.items())
    labels = host.split(".")
    prefix = next((prefix for prefix in index.prefixes if host.startswith(prefix)), None)
    classes = [
        *([host] if index.hosts else []),
        *(f"*.{'.'.join(labels[-count:])}" for count in index.labels if len(labels) > count),
        *([f"{prefix}*"] if prefix else []),
        *([""] if index.anywhere else []),
    ]
    return min((int(longest(keys, f"{name}|{path}?") or DEFAULT) for name in classes), default=DEFAULT)


def expected(rules: list[Rule], host: str, path: str) -> int:
    taken, _ = match(rules, HttpRequest("GET", host, path, None, (), "127.0.0.1"))
    return taken.priority if taken else DEFAULT


@given(
    found=rule_lists,
    host=st.sampled_from(["a.test", "b.a.test", "c.b.a.test", "a.x", "a.tx", "b.x", "x.org", "test", ""]),
    path=st.sampled_from(["/", "/a", "/a/", "/ab", "/ab/c", "/axb", "/x/c", "/abxcyd", "/a*", "/x.png"]),
)
@settings(max_examples=sampled(300), deadline=None)
def test_index_and_patterns_name_the_rule(found: Any, host: str, path: str) -> None:
    """The lowest priority of the maps and the patterns is that of the matching rule."""
    rules = [rule(number, *conditions) for number, conditions in enumerate(found, start=1)]
    patterns = [
        pattern.priority
        for pattern in Index.from_rules(rules).patterns
        if (pattern.host is None or pattern.host.matches(host)) and (pattern.path is None or pattern.path.matches(path))
    ]
    assert min([looked_up(rules, host, path), *patterns]) == expected(rules, host, path)


letters = st.text("ab/", min_size=1, max_size=4)
pattern_texts = st.builds(lambda parts: "/" + "".join(parts), st.lists(st.one_of(letters, st.sampled_from("*?"))))
host_texts = st.sampled_from([None, "a*.t?st", "ab*.t?st", "?b.test", "*.a?.test"])


def asked(lists: PatternLists, host: str, path: str) -> int:
    """Return the lowest priority in the lists, with each lookup evaluated as HAProxy does."""
    files, subjects, found = lists.files(), {"host": host, "path": path}, [DEFAULT]
    parts: dict[str, str | None] = {}
    for line in lists.choices():
        name, subject, file = _groups(r"txn\.(\w+_part)\) var\(txn\.(\w+)\),map_beg_int\((\S+),0\)", line)
        parts[name] = longest(files[file], subjects[subject])
    for alternatives in lists.lookups(DEFAULT):
        for lookup, condition in alternatives:
            if condition:
                name, number = _groups(r"var\(txn\.(\w+)\) -m int (\d+)", condition)
                if parts[name] != number:
                    continue
            subject, method, file = _groups(r"var\(txn\.(\w+)\)(?:.*)map_(sub|end|reg)_int\((\S+),", lookup)
            text = f"{host}|{path}" if method == "reg" else subjects[subject]
            found.append(_first(files[file], method, text))
    return min(found)


def _groups(expression: str, text: str) -> tuple[str, ...]:
    match = re.search(expression, text)
    assert match, text
    return match.groups()


def _first(content: str, method: str, text: str) -> int:
    """Return the first line of a list that matches."""
    tests: dict[str, Callable[[str], object]] = {
        "sub": lambda key: key in text,
        "end": text.endswith,
        "reg": lambda key: re.search(key, text),
    }
    lines = (line.rsplit(" ", 1) for line in content.splitlines())
    return next((int(value) for key, value in lines if tests[method](key)), DEFAULT)


@given(
    texts=st.lists(st.tuples(host_texts, pattern_texts), max_size=40),
    few=st.sampled_from([0, 4, 32]),
    host=st.sampled_from(["ab.test", "abc.tast", "xb.test", "x.ab.test", "other"]),
    path=st.builds(lambda text: f"/{text}", st.text("ab/", max_size=8)),
)
@settings(max_examples=sampled(300), deadline=None)
def test_every_pattern_is_reachable(texts: Any, few: int, host: str, path: str) -> None:
    """The lowest matching pattern is found in any split of the patterns into lists."""
    patterns = [
        Pattern(Wildcard.parse(host) if host else None, Wildcard.parse(path), priority)
        for priority, (host, path) in enumerate(texts, start=1)
    ]
    matching = [
        p.priority for p in patterns if (not p.host or p.host.matches(host)) and p.path and p.path.matches(path)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pattern_lists, "MIN_SPLIT_SIZE", few)
        assert asked(PatternLists(patterns, "l"), host, path) == min(matching, default=DEFAULT)


def test_nested_beginnings_are_reachable() -> None:
    """A pattern is found although patterns in other lists share its prefix."""
    many = [Pattern(None, Wildcard.parse(f"/{n}{m}?y"), 1000 + 10 * n + m) for n in range(10, 60) for m in range(8)]
    few = [Pattern(None, Wildcard.parse(f"/{n}*z"), n) for n in range(10, 60)]
    lists = PatternLists([*many, *few], "l")
    assert len(lists.files()) > 10
    for number in range(10, 60):
        assert asked(lists, "a.test", f"/{number}7/z") == number


def test_patterns_are_spread() -> None:
    """A thousand patterns with different prefixes are in about thirty lists of about thirty."""
    matching = RuleMatching(thousand(SHAPES["patterns with beginnings of their own"]), "l")
    sizes = [text.count("\n") for name, text in matching.files().items() if re.fullmatch(r"l\.path\.\d+\.map", name)]
    assert 25 <= len(sizes) <= 40
    assert max(sizes) <= 60
