"""Cost of rules: a request that meets one rule, twenty, or one of a thousand, and the same rules elsewhere.

Requests are for a rule picked at random each time, so that no cache helps. In the access log, which is on, each has
its line.
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
MOST_OF_ONE, MOST_WILD, MOST_OF_NGINX, MOST_OF_TRAEFIK = 1.2, 3.0, 1.5, 0.4
_DEFAULT_ROUTER = "rest: {rule: 'PathPrefix(`/`)', priority: 1, service: web}"
_STICKY = {"attributes": {"stickiness.enabled": True}}


class Kind(NamedTuple):
    """A kind of rules: the condition of the Nth, and what meets it, as Lua's expressions of `i`."""

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
    """CPU per request, as a multiple relative to one rule's, of nginx's and of Traefik's."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(3)]

        def ours(kind: Kind, count: int, group: Any = None) -> Proxy:
            name = f"{count} {kind.name}{', sticky' if group else ''}"
            started = penstock(directory / name, servers, name, group, rules=_rules(kind, count))
            proxy = stack.enter_context(started)
            proxy.script = _script(directory / name, kind, count)
            return proxy

        one, twenty, many = ours(_PREFIXES, 1), ours(_PREFIXES, 20, _STICKY), ours(_PREFIXES, 1000)
        wild, wilder = ours(_WILD, 1000), ours(_WILDER, 1000)
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
    met = to_one <= MOST_OF_ONE and to_wild <= MOST_WILD
    met &= to_nginx <= MOST_OF_NGINX and to_traefik <= MOST_OF_TRAEFIK
    return Results(
        "Cost of rules",
        f"Median of {ROUNDS} rounds of {SECONDS} s, in turn. wrk uses 32 kept-alive connections and a random rule "
        "for each request. Access logs are on.",
        ("rules", "CPU per request", "relative to one rule", "highest rate"),
        rows,
        f"1,000 rules of hosts and prefixes {to_one:.2f} times one rule (at most {MOST_OF_ONE}), with wildcards "
        f"{to_wild:.2f} (at most {MOST_WILD}); 20 rules with stickiness {to_nginx:.2f} times plain nginx (at most "
        f"{MOST_OF_NGINX}), {to_traefik:.2f} times Traefik with the same rules (at most {MOST_OF_TRAEFIK})",
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
    """What makes wrk ask for a rule at random."""
    path = folder / "requests.lua"
    path.write_text(
        "request = function()\n"
        f"  local i = math.random(0, {count - 1})\n"
        f"  return wrk.format('GET', {kind.path}, {{Host = {kind.host}}})\n"
        "end\n"
    )
    return path
