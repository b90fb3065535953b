"""Forwarding to several target groups by weight, with stickiness to a group.

It uses one map per listener, whose values can change while HAProxy runs:

- `RULE` → `total:bound:bound:…`: a random number below the first bound selects the first group, and so on;
- `RULE.N` → `backend:identity`: the Nth group and its identity in the cookie;
- `RULE.backend` → `backend`: an alternate group that a header leads to;
- `RULE.duration` → seconds, and `RULE/identity` → `backend`, if clients are sticky. A group of weight 0 keeps no
  client. The text after the slash comes from the client, so no other keys have a slash.

The weights of a rule are one value, so a request never sees half of a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from pipeline.balancer.haproxy.naming import COOKIE_AGE, backend_name
from pipeline.balancer.haproxy.quoting import quote
from pipeline.balancer.model.alternate_group import HeaderMatch
from pipeline.balancer.model.application.action import MAX_GROUPS, Forward

_COOKIE = "AWSALBTG"
# With the avalanche, neighbours do not get the same group.
_BY_SOURCE = "src,djb2(1)"


def is_weighted(forward: Forward) -> bool:
    """Return whether the action forwards to several groups."""
    return len(forward.weighted_groups) > 1


def entries(rule: int, owner: str, forward: Forward) -> Mapping[str, str]:
    """Return the entries of one rule."""
    groups = [(backend_name(owner, group.target_group), group.weight) for group in forward.weighted_groups]
    stickiness = forward.group_stickiness
    bounds = list(accumulate(weight for _, weight in groups))
    found = {str(rule): ":".join(map(str, (bounds[-1], *bounds)))}
    for number, (backend, weight) in enumerate(groups, start=1):
        found[f"{rule}.{number}"] = f"{backend}:{_identity(backend)}"
        if stickiness and weight:
            found[f"{rule}/{_identity(backend)}"] = backend
    found |= {f"{rule}.{backend}": backend for backend, _ in _headers(owner, forward)}
    if stickiness:
        found[f"{rule}.duration"] = str(int(stickiness.duration.total_seconds()))
    return found


def choose(file: str, *, sticky: bool, rules: str = "http-request", by_source: bool = False) -> Iterator[str]:
    """Yield lines that set `txn.backend` if the rule is weighted. `sticky`: some rule keeps clients with a group.

    `rules`: the kind of HAProxy's rules that the lines are. `by_source`: the client's address chooses, not chance.
    """
    dice = _BY_SOURCE if by_source else "rand()"
    weighted = "if { var(txn.weights) -m found }"
    yield f"{rules} set-var(txn.weights) var(txn.rule),map_str({file})"
    yield f"{rules} set-var(txn.total) var(txn.weights),field(1,:) {weighted}"
    yield f"{rules} set-var(txn.dice) {dice},mod(txn.total) {weighted}"
    yield f"{rules} set-var(txn.slot) int({MAX_GROUPS}) {weighted}"
    for slot in range(MAX_GROUPS - 1, 0, -1):
        bound = f"txn.bound{slot}"
        yield f"{rules} set-var({bound}) var(txn.weights),field({slot + 1},:) {weighted}"
        below = f"{{ var({bound}) -m found }} {{ var(txn.dice),sub({bound}) lt 0 }}"
        yield f"{rules} set-var(txn.slot) int({slot}) if {below}"
    yield f"{rules} set-var(txn.group) var(txn.rule),concat(.,txn.slot),map_str({file}) {weighted}"
    yield f"{rules} set-var(txn.backend) var(txn.group),field(1,:) {weighted}"
    if sticky:
        yield from _stay(file)


def choose_alternates(file: str, forwards: Iterable[tuple[str, Forward]]) -> Iterator[str]:
    """Yield lines that send requests with a header to an alternate group. They need no cookie, and get none.

    `forwards`: with the owner of each.
    """
    headers = dict(found for owner, forward in forwards for found in _headers(owner, forward))
    for backend, header in headers.items():
        fetch = f'req.fhdr("{header.name}")'
        wanted = f"if {{ {quote(fetch)} -m str -- {header.value} }}"
        yield f"http-request set-var(txn.test) var(txn.rule),concat(.{backend}),map_str({file}) {wanted}"
    if headers:
        yield "http-request set-var(txn.backend) var(txn.test) if { var(txn.test) -m found }"
        yield "http-request unset-var(txn.identity) if { var(txn.test) -m found }"


def _headers(owner: str, forward: Forward) -> Iterator[tuple[str, HeaderMatch]]:
    """Yield the backend of each alternate group that a header leads to."""
    for group in forward.target_groups:
        if group.alternate and group.alternate.header:
            yield backend_name(owner, group.alternate.target_group), group.alternate.header


def _stay(file: str) -> Iterator[str]:
    """Yield lines that prefer the group in a valid cookie, and set the identity for the next cookie."""
    yield f"http-request set-var(txn.duration) var(txn.rule),concat(.duration),map_str({file})"
    stays = "if { var(txn.duration) -m found }"
    yield f"http-request set-var(txn.identity) var(txn.group),field(2,:) {stays}"
    yield f"http-request set-var(txn.cookie) req.cook({_COOKIE}) {stays}"
    yield f"http-request set-var(txn.cookie) req.cook({_COOKIE}CORS) {stays} !{{ var(txn.cookie) -m found }}"
    yield f"http-request set-var(txn.until) var(txn.cookie),field(1,.) {stays}"
    yield f"http-request set-var(txn.wanted) var(txn.cookie),field(2,.) {stays}"
    # A cookie that is valid for longer than a new one is forged, or from before the duration was shortened.
    if_valid = f"{stays} {{ date,sub(txn.until) le 0 }} {{ date,add(txn.duration),sub(txn.until) ge 0 }}"
    yield f"http-request set-var(txn.kept) var(txn.rule),concat(/,txn.wanted),map_str({file}) {if_valid}"
    kept = "if { var(txn.kept) -m found }"
    yield f"http-request set-var(txn.backend) var(txn.kept) {kept}"
    yield f"http-request set-var(txn.identity) var(txn.wanted) {kept}"
    yield f"http-request set-var(txn.until) date,add(txn.duration) {stays}"


def remember() -> Iterator[str]:
    """Yield lines that set the client's cookie in each response, so its duration starts at the last request."""
    value = f"=%[var(txn.until)].%[var(txn.identity)]; Max-Age={COOKIE_AGE}; Path=/"
    given = "if { var(txn.identity) -m found }"
    yield f'http-after-response add-header Set-Cookie "{_COOKIE}{value}" {given}'
    yield f'http-after-response add-header Set-Cookie "{_COOKIE}CORS{value}; SameSite=None; Secure" {given}'


def _identity(backend: str) -> str:
    return hashlib.sha256(backend.encode()).hexdigest()[:12]
