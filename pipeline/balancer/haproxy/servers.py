"""The servers of target groups: their facts, and the commands that change them to the wanted state.

A target and its fail-open server are changed in one step. So a crash of Penstock cannot leave one of them changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import count

from pipeline.balancer.data_plane import TargetFact, WantedGroup, WantedTarget
from pipeline.balancer.haproxy.checks import check_fact
from pipeline.balancer.haproxy.naming import fail_open_backend_of, group_of, is_holding, shared_backend_of, target_of
from pipeline.balancer.haproxy.server_args import (
    ServerDefinition,
    closing_cuts,
    has_identities,
    server_definitions,
)
from pipeline.balancer.haproxy.statistics import ServerKey, ServerState

# A changed address drops the pooled connections of a server in maintenance. Otherwise HAProxy 2.8 refuses to delete it.
_UNROUTABLE_ADDRESS = "addr 127.255.255.254 port 1"

# Names of owners, groups and zones hold neither a dot nor a colon. Names of other backends hold more of them.
_CHECKED = re.compile(r"[^.:]+\.[^.:]+")

_UP = ("UP", "no check")

_ADD, _ADDED = "add server ", "New server registered."

Servers = Mapping[ServerKey, ServerState]


def backends_of(groups: Iterable[str], pools: Iterable[str] = ()) -> set[str]:
    """Return the backends that the servers of these groups may be in. `pools`: those of all groups in zones."""
    known = set(groups)
    checked = known | {pool for pool in pools if group_of(pool) in known}
    return {backend for one in checked for backend in (one, fail_open_backend_of(one), shared_backend_of(one))}


def is_checked(backend: str) -> bool:
    """Return whether a backend is a target group's own, or that of a pool. Its servers are checked."""
    return _CHECKED.fullmatch(backend) is not None


def by_group(servers: Servers) -> dict[str, dict[ServerKey, ServerState]]:
    """Return the servers of each group. The activator is none of them, because it is no target."""
    found: dict[str, dict[ServerKey, ServerState]] = {}
    for key, server in servers.items():
        if not is_holding(key[0]):
            found.setdefault(group_of(key[0]), {})[key] = server
    return found


def group_facts(group: str, servers: Servers) -> dict[str, TargetFact]:
    """Return the facts of one group's targets. `servers`: those of the group."""
    found: dict[str, list[ServerState]] = {}
    checked: dict[str, list[ServerState]] = {}
    for (backend, name), server in servers.items():
        target = target_of(name)
        found.setdefault(target, []).append(server)
        if name == target and (backend == group or is_checked(backend)):
            checked.setdefault(target, []).append(server)
    return {target: _fact(_worst(checked.get(target, ())), parts) for target, parts in found.items()}


def _worst(servers: Collection[ServerState]) -> ServerState | None:
    """Return the server of a target whose check is the worst. A target in several zones has one for each pool."""
    if len(servers) < 2:
        return next(iter(servers), None)
    return min(servers, key=lambda server: (server.status.startswith(_UP), server.passes))


def _fact(main: ServerState | None, parts: Collection[ServerState]) -> TargetFact:
    one, admitted, in_flight = main or next(iter(parts)), False, 0
    for server in parts:
        admitted |= not server.is_closed
        in_flight += server.in_flight
    check = check_fact(main.check_status, main.check_code, main.check_text, main.passes) if main else check_fact("")
    return TargetFact(
        admitted=admitted,
        up=main is not None and main.status.startswith(_UP),
        check=check,
        in_flight=in_flight,
        state_age=timedelta(seconds=one.age),
        endpoint=one.address,
    )


def steps_to(group: WantedGroup, servers: Servers) -> Iterator[str]:
    """Yield the commands that change a group's servers to the wanted state, one step for each target."""
    wanted, numbers = set[ServerKey](), _free_numbers(group, servers)
    for target in group.targets:
        parts = [
            (definition, servers.get((definition.backend, definition.name)))
            for definition in server_definitions(group, target)
        ]
        wanted.update((definition.backend, definition.name) for definition, _ in parts)
        step = [command for part in reversed(parts) for command in _removals(group, target, *part)]
        step += [command for part in parts for command in _additions(group, target, *part, numbers)]
        if step:
            yield "; ".join(step)
    # A group's backend comes before the one in which clients share connections.
    for key in sorted(servers.keys() - wanted):
        if step := list(_remove(group, key, servers[key])):
            yield "; ".join(step)


def servers_of(group: WantedGroup) -> list[ServerKey]:
    """Return the servers that a group's targets have."""
    return [
        (definition.backend, definition.name)
        for target in group.targets
        for definition in server_definitions(group, target)
    ]


def additions(group: WantedGroup, *, replaces: bool = True) -> list[str]:
    """Return the commands that add a group's targets, one step for each. `replaces`: former ones are removed first."""
    steps = []
    for target in group.targets:
        definitions = [*server_definitions(group, target)]
        # In the other order, because a server may depend on one before it.
        former = [(definition.backend, definition.name) for definition in reversed(definitions)]
        removal = [command for server in former for command in (_close(*server), _delete(*server)) if replaces]
        steps.append("; ".join([*removal, *map(_add, definitions)]))
    return steps


def has_added(reply: str, steps: Iterable[str]) -> bool:
    """Return whether HAProxy's reply to these steps says that every server was added."""
    return reply.count(_ADDED) == sum(step.count(_ADD) for step in steps)


def _free_numbers(group: WantedGroup, servers: Servers) -> Iterator[int] | None:
    """Return ids for new servers, in order, or None if the group's servers have fixed ids.

    Without an id in `add server`, HAProxy searches for a free one from 1 on, which takes long in a large group.
    """
    if has_identities(group.settings):
        return None
    return count(max((server.number for server in servers.values()), default=0) + 1)


def _removals(
    group: WantedGroup, target: WantedTarget, definition: ServerDefinition, server: ServerState | None
) -> Iterator[str]:
    if server is None:
        return
    if target.is_leaving:
        yield from _closing(group, definition, server)
    elif _starts_over(target, definition, server):
        yield from _remove(group, (definition.backend, definition.name), server)


def _additions(
    group: WantedGroup,
    target: WantedTarget,
    definition: ServerDefinition,
    server: ServerState | None,
    numbers: Iterator[int] | None,
) -> Iterator[str]:
    if target.is_leaving:
        return
    is_new = server is None or _starts_over(target, definition, server)
    if is_new and server is not None and _must_drain(group, server):
        return
    if is_new:
        yield _add(definition, next(numbers) if numbers else None)
    if target.admit and (is_new or (server is not None and server.is_closed)):
        yield _open(definition)


def _starts_over(target: WantedTarget, definition: ServerDefinition, server: ServerState) -> bool:
    """Return whether a server must be replaced: its address changed, or its checks do not run while it is closed."""
    if server.address and server.address != target.endpoint:
        return True
    return not target.admit and (not server.is_closed or (definition.is_checked and not server.check_status))


def _remove(group: WantedGroup, key: ServerKey, server: ServerState) -> Iterator[str]:
    """Yield commands that close a server, and delete it. HAProxy may refuse that while it has open requests.

    If closing would cut connections, it takes two steps with a look at the server between them: see `drain`.
    """
    if not _must_drain(group, server):
        yield _close(*key)
        yield _delete(*key)
    elif not server.is_closed:
        yield drain(*key)


def _must_drain(group: WantedGroup, server: ServerState) -> bool:
    """Return whether a server has, or may get, connections that closing it would cut."""
    return closing_cuts(group.settings) and (server.in_flight > 0 or not server.is_closed)


def _closing(group: WantedGroup, definition: ServerDefinition, server: ServerState) -> Iterator[str]:
    if not server.is_closed:
        close = drain if closing_cuts(group.settings) else _close
        yield close(definition.backend, definition.name)
    elif server.check_status:
        yield f"disable health {definition.backend}/{definition.name}"


def _add(definition: ServerDefinition, number: int | None = None) -> str:
    """Return commands that add a server in maintenance, with its checks running. It gets no request before it opens."""
    numbered = f" id {number}" if number else ""
    check = f"; enable health {definition.backend}/{definition.name}" if definition.is_checked else ""
    return f"{_ADD}{definition.backend}/{definition.name} {definition.args}{numbered}{check}"


def _open(definition: ServerDefinition) -> str:
    """Return commands that open a server. From now on the failure threshold applies; before, one failure is enough."""
    server = f"{definition.backend}/{definition.name}"
    return f"enable server {server}; set server {server} health up"


def _close(backend: str, name: str) -> str:
    """Return the command that stops new requests and checks. Open requests continue."""
    return f"set server {backend}/{name} state maint"


def drain(backend: str, name: str) -> str:
    """Return commands that stop new connections and checks, for a server that would lose its connections by `_close`.

    A check that failed later would cut them too.
    """
    return f"set server {backend}/{name} state drain; disable health {backend}/{name}"


def _delete(backend: str, name: str) -> str:
    """Return commands that delete a closed server."""
    return f"set server {backend}/{name} {_UNROUTABLE_ADDRESS}; del server {backend}/{name}"
