"""Cost of rules: a request that matches one rule, one of twenty or one of a thousand, also with other proxies.

Each request picks a rule at random, so that no cache helps. The access log is on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.extent import Extent
from bench.figure import Figure, median_ratio
from bench.nginx import nginx, server
from bench.peers import traefik
from bench.penstock import penstock
from bench.programs import ProgramMissing
from bench.proxy import FULL, QUICK, Costs, Proxy, Rounds, take_turns
from bench.results import Results

_MAX_TO_ONE, _MAX_WILD, _MAX_TO_NGINX, _MAX_TO_TRAEFIK = 1.2, 3.0, 1.3, 0.4
_DEFAULT_ROUTER = "rest: {rule: 'PathPrefix(`/`)', priority: 1, service: web}"
_STICKY = {"attributes": {"stickiness.enabled": True}}
_NGINX, _TRAEFIK = "nginx, plain proxy_pass", "Traefik, the 20 rules, sticky"


class Kind(NamedTuple):
    """A kind of rules: the conditions of rule `i`, and Lua expressions of `i` for a request that matches it."""

    name: str
    conditions: str
    path: str
    host: str


_PREFIXES = Kind(
    "hosts and path prefixes",
    "[{{'host_header': ['h{h}.shop.test']}}, {{'path_pattern': ['/svc{i}/*']}}]",
    "'/svc'..i..'/x'",
    "'h'..(i%100)..'.shop.test'",
)
_WILD = Kind(
    "wildcards within paths",
    "[{{'path_pattern': ['/svc{i}/*/item?.html']}}]",
    "'/svc'..i..'/'..math.random(1,1000000)..'/item1.html'",
    "'any.test'",
)
_WILDER = Kind(
    "wildcards within hosts and paths",
    "[{{'host_header': ['*.h{i}*.test']}}, {{'path_pattern': ['/svc{i}/*x*']}}]",
    "'/svc'..i..'/'..math.random(1,1000000)..'x1'",
    "'a.h'..i..'b.test'",
)


class Case(NamedTuple):
    """A number of rules of one kind, with stickiness if the group has it."""

    kind: Kind
    number: int
    group: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.number} {self.kind.name}{', sticky' if self.group else ''}"


_ONE, _TWENTY, _MANY = Case(_PREFIXES, 1), Case(_PREFIXES, 20, _STICKY), Case(_PREFIXES, 1000)
_WILDCARDS = (Case(_WILD, 1000), Case(_WILDER, 1000))


def measure(extent: Extent) -> Results:
    """Measure the CPU time per request, relative to one rule, to nginx and to Traefik."""
    rounds = extent.choose(FULL, QUICK)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(3)]
        proxies = []
        for case in (_ONE, _MANY, *_WILDCARDS, _TWENTY):
            rules = _rules(case.kind, case.number)
            started = penstock(directory / case.name, servers, name=case.name, group=case.group, rules=rules)
            proxies.append(_asked(stack.enter_context(started), case.name, _script(directory, case)))
        script = _script(directory, _TWENTY)
        proxies.append(_asked(stack.enter_context(nginx(directory / "nginx", servers)), _NGINX, script))
        routers = "{" + ", ".join([*(_router(i) for i in range(20)), _DEFAULT_ROUTER]) + "}"
        sticky = ", sticky: {cookie: {name: AWSALB}}"
        with suppress(ProgramMissing):
            other = stack.enter_context(traefik(directory / "traefik", servers, routers=routers, sticky=sticky))
            proxies.append(_asked(other, _TRAEFIK, script))
        return _results(proxies, take_turns(proxies, rounds), rounds)


def _asked(proxy: Proxy, name: str, script: Path) -> Proxy:
    return replace(proxy, name=name, script=script)


def _results(proxies: Sequence[Proxy], costs: dict[str, Costs], rounds: Rounds) -> Results:
    def ratio(name: str, base: str) -> float:
        return median_ratio(costs[name].each, costs[base].each)

    one, twenty = _ONE.name, _TWENTY.name
    wild = max(ratio(case.name, one) for case in _WILDCARDS)
    figures = [
        Figure("1,000 rules of hosts and prefixes: times one rule", ratio(_MANY.name, one), _MAX_TO_ONE),
        Figure("1,000 rules with wildcards: times one rule", wild, _MAX_WILD),
        Figure("20 rules with stickiness: times plain nginx", ratio(twenty, _NGINX), _MAX_TO_NGINX),
    ]
    if _TRAEFIK in costs:
        name = "20 rules with stickiness: times Traefik with the same rules"
        figures.append(Figure(name, ratio(twenty, _TRAEFIK), _MAX_TO_TRAEFIK))
    return Results.judged(
        "Cost of rules",
        f"{rounds} wrk uses 32 "
        "kept-alive connections and a random rule for each request. Access logs are on. nginx has no rules, no "
        "stickiness, no health checks and no trace id. Traefik has no trace id.",
        ("rules", "CPU per request", "relative to one rule", "highest rate"),
        [
            (p.name, f"{costs[p.name].median:.1f} µs", f"{ratio(p.name, one):.2f}", f"{costs[p.name].rate:.0f}/s")
            for p in proxies
        ],
        figures,
    )


def _rules(kind: Kind, count: int) -> list[dict[str, Any]]:
    return [
        {
            "priority": i + 1,
            "conditions": eval(kind.conditions.format(i=i, h=i % 100)),  # written above
            "action": {"forward": "web"},
        }
        for i in range(count)
    ]


def _router(i: int) -> str:
    return f"r{i}: {{rule: 'Host(`h{i}.shop.test`) && PathPrefix(`/svc{i}/`)', service: web}}"


def _script(folder: Path, case: Case) -> Path:
    """Write a script that makes wrk request a random rule, and return its path."""
    path = folder / f"{case.name}.lua"
    path.write_text(
        "request = function()\n"
        f"  local i = math.random(0, {case.number - 1})\n"
        f"  return wrk.format('GET', {case.kind.path}, {{Host = {case.kind.host}}})\n"
        "end\n"
    )
    return path
