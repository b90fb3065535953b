"""HAProxy, with rules compiled to maps, against the rule matching in Python."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from contextlib import closing
from random import Random, randrange
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from pipeline.balancer.haproxy import patterns
from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Declaration, Listener, LoadBalancer, Rule
from tests.support.ports import free_port
from tests.support.sample import sampled
from tests.support.waiting import DEADLINE
from tests.system.bench import OWNER, Bench

# Each load has this many rule sets, a listener each: 1,000 rule sets for each kind of patterns in a full run.
_SETS = 50
_LOADS = sampled(1000) // _SETS

_HOSTS = [
    "a.test",
    "b.a.test",
    "*.test",
    "*.a.test",
    "a.*",
    "b.*",
    "b*.test",
    "?.test",
    "*a*.te?t",
    "*.b.a.test",
    "x.org",
]
_PATHS = ["/", "/a", "/a/*", "/a*", "/a/b", "/a/b*", "*.png", "/a?b", "/*/c", "*", "/*", "/a/?/*", "/a\\*", "/a.b"]
_REGEXES = ["^/?a", "b$", "a|x", "[0-9]+", "."]
_TEXTS = ["v1", "v*", "?1", "x y", "*", "\\*", "a,b", "V1"]

_VALUES = ["1", "2*", "", "*", "?", "\\*"]
_KEYS = ["k", "K*", "", "?"]
_SOURCES = ["127.0.0.1/32", "127.0.0.64/26", "10.0.0.0/8", "::1/128"]
_METHODS = ["GET", "POST", "PURGE"]
_ASKED_HOSTS = ["a.test", "b.a.test", "c.b.a.test", "A.Test:80", "ab.test", "x.org", "test", "b.x", ".a.test", "*.test"]
_ASKED_PATHS = ["/", "/a", "/a/", "/a/b", "/a/b.png", "/axb", "/x/c", "/A", "/a/x/y", "/a*", "/a.b", "//a"]
_QUERIES = [None, "", "k=1", "K=22", "x&k", "x=1&K1=", "k=*", "=", "a=b=1"]
_HEADER_VALUES = ["v1", "V1", "x y", "*", "a,b", ""]


T = TypeVar("T")


class Generator:
    """Makes rule sets and requests. The same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._conditions = (
            *[lambda: {"host_header": self._some(_HOSTS)}] * 2,
            *[lambda: {"path_pattern": self._some(_PATHS)}] * 3,
            lambda: {self._one(["host_header", "path_pattern"]): {"regex_values": [self._one(_REGEXES)]}},
            lambda: {"http_header": self._header()},
            lambda: {"http_request_method": self._some(_METHODS)},
            lambda: {"query_string": [self._pair() for _ in range(self._number(1, 2))]},
            lambda: {"source_ip": self._some(_SOURCES)},
        )

    def case(self) -> tuple[list[list[dict[str, Any]]], list[HttpRequest]]:
        """Return the conditions of each rule of a set, and requests."""
        rules = [self._rule() for _ in range(self._number(0, 8))]
        return rules, [self._request() for _ in range(self._number(1, 4))]

    def _rule(self) -> list[dict[str, Any]]:
        while True:
            found = [self._one(self._conditions)() for _ in range(self._number(1, 3))]
            if _allowed(found):
                return found

    def _header(self) -> dict[str, Any]:
        if self._random.random() < 0.5:
            return {"name": "X-A", "values": self._some(_TEXTS)}
        return {"name": "x-a", "regex_values": [self._one(_REGEXES)]}

    def _pair(self) -> dict[str, str]:
        key = {"key": self._one(_KEYS)} if self._random.random() < 0.5 else {}
        return {"value": self._one(_VALUES), **key}

    def _request(self) -> HttpRequest:
        headers = [(self._one(["X-A", "x-a", "X-B"]), self._one(_HEADER_VALUES)) for _ in range(self._number(0, 2))]
        return HttpRequest(
            method=self._one([*_METHODS, "get"]),
            host=self._one(_ASKED_HOSTS),
            path=self._one(_ASKED_PATHS),
            query=self._one(_QUERIES),
            headers=tuple(headers),
            source=self._one(["127.0.0.1", "127.0.0.70"]),
        )

    def _one(self, values: Sequence[T]) -> T:
        return self._random.choice(values)

    def _some(self, values: Sequence[T]) -> list[T]:
        return [self._one(values) for _ in range(self._number(1, 2))]

    def _number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)


def _allowed(found: list[dict[str, Any]]) -> bool:
    """Return whether these conditions are valid together."""
    try:
        Rule.model_validate({"priority": 1, "conditions": found, "action": _says("")})
    except ValidationError:
        return False
    return True


def _listener(port: int, found: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return rules that respond with their priority, the later ones first, so their order matters."""
    rules = [
        {"priority": 100 - number, "conditions": conditions, "action": _says(str(100 - number))}
        for number, conditions in enumerate(found)
    ]
    return {"port": port, "rules": rules, "default_action": _says("default")}


def _says(text: str) -> dict[str, Any]:
    return {"fixed_response": {"status_code": 200, "message_body": text}}


def _asked(port: int, request: HttpRequest) -> str:
    """Return the responses of the listener."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE, source_address=(request.source, 0))
    with closing(connection):
        query = "" if request.query is None else f"?{request.query}"
        connection.putrequest(request.method, request.path + query, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", request.host)
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.read().decode()


@pytest.fixture(params=["few patterns", "many patterns"])
def spread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set whether patterns are one list, as while they are few, or several lists."""
    if request.param == "many patterns":
        monkeypatch.setattr(patterns, "MIN_SPLIT_SIZE", 0)


@pytest.fixture(scope="module")
def ports() -> list[int]:
    """Return different free ports."""
    return sorted({free_port() for _ in range(3 * _SETS)})[:_SETS]


def test_haproxy_takes_the_rule_that_the_model_takes(bench: Bench, spread: None, ports: list[int]) -> None:
    """HAProxy and the model choose the same rule for generated rule sets and requests."""
    for _ in range(_LOADS):
        # A failure names the rules and the request.
        generator = Generator(randrange(2**32))
        cases = [generator.case() for _ in ports]
        listeners = [_listener(port, rules) for port, (rules, _) in zip(ports, cases, strict=True)]
        declaration = Declaration.model_validate(
            {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"scheme": "internal", "listeners": listeners}},
            }
        )
        bench.balancer.apply(OWNER, declaration)
        edge = declaration.load_balancers["edge"]
        assert isinstance(edge, LoadBalancer)
        for listener, (_, asked) in zip(edge.listeners, cases, strict=True):
            for request in asked:
                assert _asked(listener.port, request) == _expected(listener, request), (request, listener.rules)


def _expected(listener: Listener, request: HttpRequest) -> str:
    rule, _ = match(listener.rules, request)
    return str(rule.priority) if rule else "default"
