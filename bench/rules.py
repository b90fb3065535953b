"""Cost of rules: a request that matches one rule, one of twenty or one of a thousand, also with other proxies.

Each request picks a rule at random, so that no cache helps. The access log is on.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.proxies import Proxy, nginx, penstock, server, take_turns, traefik
from bench.results import Results

ROUNDS = 5
SECONDS = 3
MAX_TO_ONE, MAX_WILD, MAX_TO_NGINX, MAX_TO_TRAEFIK = 1.2, 3.0, 1.5, 0.4
_DEFAULT_ROUTER = "rest: {rule: 'PathPrefix(`/`)', priority: 1, service: web}"
_STICKY = {"attributes": {"stickiness.enabled": True}}


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


def measure() -> Results:
    """Measure the CPU time per request, relative to one rule, to nginx and to Traefik."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(3)]

        def penstock_with(kind: Kind, count: int, group: Any = None) -> Proxy:
            name = f"{count} {kind.name}{', sticky' if group else ''}"
            started = penstock(directory / name, servers, name, group, rules=_rules(kind, count))
            proxy = stack.enter_context(started)
            proxy.script = _script(directory / name, kind, count)
            return proxy

        one, twenty, many = (
            penstock_with(_PREFIXES, 1),
            penstock_with(_PREFIXES, 20, _STICKY),
            penstock_with(_PREFIXES, 1000),
        )
        wild, wilder = penstock_with(_WILD, 1000), penstock_with(_WILDER, 1000)
        plain = stack.enter_context(nginx(directory / "nginx", servers))
        routers = "{" + ", ".join([*(_router(i) for i in range(20)), _DEFAULT_ROUTER]) + "}"
        sticky = ", sticky: {cookie: {name: AWSALB}}"
        other = stack.enter_context(traefik(directory / "traefik", servers, routers, sticky))
        plain.script = other.script = _script(directory, _PREFIXES, 20)
        take_turns([one, twenty, many, wild, wilder, plain, other], ROUNDS, SECONDS)
        return _results(one, twenty, many, wild, wilder, plain, other)


def _results(one: Proxy, twenty: Proxy, many: Proxy, wild: Proxy, wilder: Proxy, plain: Proxy, other: Proxy) -> Results:
    to_one, to_wild = many.cost / one.cost, max(wild.cost, wilder.cost) / one.cost
    to_nginx, to_traefik = twenty.cost / plain.cost, twenty.cost / other.cost
    plain.name, other.name = "nginx, plain proxy_pass", "Traefik, the 20 rules, sticky"
    rows = tuple(
        (proxy.name, f"{proxy.cost:.1f} µs", f"{proxy.cost / one.cost:.2f}", f"{proxy.rate:.0f}/s")
        for proxy in (one, many, wild, wilder, twenty, plain, other)
    )
    met = to_one <= MAX_TO_ONE and to_wild <= MAX_WILD
    met &= to_nginx <= MAX_TO_NGINX and to_traefik <= MAX_TO_TRAEFIK
    return Results(
        "Cost of rules",
        f"Median of {ROUNDS} rounds of {SECONDS} s, in turn. wrk uses 32 kept-alive connections and a random rule "
        "for each request. Access logs are on.",
        ("rules", "CPU per request", "relative to one rule", "highest rate"),
        rows,
        f"1,000 rules of hosts and prefixes {to_one:.2f} times one rule (at most {MAX_TO_ONE}), with wildcards "
        f"{to_wild:.2f} (at most {MAX_WILD}); 20 rules with stickiness {to_nginx:.2f} times plain nginx (at most "
        f"{MAX_TO_NGINX}), {to_traefik:.2f} times Traefik with the same rules (at most {MAX_TO_TRAEFIK})",
        met,
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


def _script(folder: Path, kind: Kind, count: int) -> Path:
    """Write a script that makes wrk request a random rule, and return its path."""
    path = folder / "requests.lua"
    path.write_text(
        "request = function()\n"
        f"  local i = math.random(0, {count - 1})\n"
        f"  return wrk.format('GET', {kind.path}, {{Host = {kind.host}}})\n"
        "end\n"
    )
    return path
