"""HAProxy, with rules compiled to maps, against the rule matching in Python."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.balancer.haproxy import patterns
from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Declaration, Listener, Rule
from tests.support.ports import free_port
from tests.system.bench import OWNER, Bench

# Each example loads this many rule sets at once, a listener each: 40 examples are 1,000 rule sets, run twice.
_SETS = 25
_EXAMPLES = 40

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

hosts = st.fixed_dictionaries({"host_header": st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=2)})
paths = st.fixed_dictionaries({"path_pattern": st.lists(st.sampled_from(_PATHS), min_size=1, max_size=2)})
expressions = st.sampled_from(["host_header", "path_pattern"]).flatmap(
    lambda field: st.fixed_dictionaries(
        {field: st.fixed_dictionaries({"regex_values": st.tuples(st.sampled_from(_REGEXES))})}
    )
)
headers = st.fixed_dictionaries(
    {
        "http_header": st.one_of(
            st.fixed_dictionaries(
                {"name": st.just("X-A"), "values": st.lists(st.sampled_from(_TEXTS), min_size=1, max_size=2)}
            ),
            st.fixed_dictionaries({"name": st.just("x-a"), "regex_values": st.tuples(st.sampled_from(_REGEXES))}),
        )
    }
)
methods = st.fixed_dictionaries(
    {"http_request_method": st.lists(st.sampled_from(["GET", "POST", "PURGE"]), min_size=1, max_size=2)}
)
pairs = st.fixed_dictionaries(
    {"value": st.sampled_from(["1", "2*", "", "*", "?", "\\*"])},
    optional={"key": st.sampled_from(["k", "K*", "", "?"])},
)
queries = st.fixed_dictionaries({"query_string": st.lists(pairs, min_size=1, max_size=2)})
sources = st.fixed_dictionaries(
    {
        "source_ip": st.lists(
            st.sampled_from(["127.0.0.1/32", "127.0.0.64/26", "10.0.0.0/8", "::1/128"]), min_size=1, max_size=2
        )
    }
)
conditions = st.one_of(hosts, hosts, paths, paths, paths, expressions, headers, methods, queries, sources)


def _allowed(found: list[dict[str, Any]]) -> bool:
    """Return whether these conditions are valid together."""
    try:
        Rule.model_validate({"priority": 1, "conditions": found, "action": _says("")})
    except ValidationError:
        return False
    return True


rule_sets = st.lists(st.lists(conditions, min_size=1, max_size=3).filter(_allowed), max_size=8)
requests = st.builds(
    HttpRequest,
    method=st.sampled_from(["GET", "POST", "PURGE", "get"]),
    host=st.sampled_from(
        ["a.test", "b.a.test", "c.b.a.test", "A.Test:80", "ab.test", "x.org", "test", "b.x", ".a.test", "*.test"]
    ),
    path=st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b.png", "/axb", "/x/c", "/A", "/a/x/y", "/a*", "/a.b", "//a"]),
    query=st.sampled_from([None, "", "k=1", "K=22", "x&k", "x=1&K1=", "k=*", "=", "a=b=1"]),
    headers=st.lists(
        st.tuples(st.sampled_from(["X-A", "x-a", "X-B"]), st.sampled_from(["v1", "V1", "x y", "*", "a,b", ""])),
        max_size=2,
    ).map(tuple),
    source=st.sampled_from(["127.0.0.1", "127.0.0.70"]),
)


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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(request.source, 0))
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


# A failure names the rules and the request. To make it smaller would take a load of HAProxy for each step.
@settings(max_examples=_EXAMPLES, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(cases=st.lists(st.tuples(rule_sets, st.lists(requests, min_size=1, max_size=4)), min_size=_SETS, max_size=_SETS))
def test_haproxy_takes_the_rule_that_the_model_takes(
    bench: Bench, spread: None, ports: list[int], cases: list[tuple[Any, list[HttpRequest]]]
) -> None:
    """HAProxy and the model choose the same rule for generated rule sets and requests."""
    listeners = [_listener(port, rules) for port, (rules, _) in zip(ports, cases, strict=True)]
    declaration = Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}},
            "load_balancers": {"edge": {"scheme": "internal", "listeners": listeners}},
        }
    )
    bench.balancer.apply(OWNER, declaration)
    for listener, (_, asked) in zip(declaration.load_balancers["edge"].listeners, cases, strict=True):
        for request in asked:
            assert _asked(listener.port, request) == _expected(listener, request), (request, listener.rules)


def _expected(listener: Listener, request: HttpRequest) -> str:
    rule, _ = match(listener.rules, request)
    return str(rule.priority) if rule else "default"
