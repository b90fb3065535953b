"""The actions of a listener's rules, as HAProxy's configuration.

A map leads from the rule to a backend: a target group's, or one that only redirects or responds. So a request passes no
more lines with a thousand rules than with one. Bodies of responses are in the configuration, because a thousand files
would take seconds to write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.effective import EffectiveApplicationListener
from pipeline.balancer.haproxy import tokens, weights
from pipeline.balancer.haproxy.entries import nodes_before
from pipeline.balancer.haproxy.error_responses import deny
from pipeline.balancer.haproxy.index import DEFAULT
from pipeline.balancer.haproxy.naming import THRESHOLDS, backend_name, fail_open_backend_of, holding_backend_of
from pipeline.balancer.haproxy.node_routing import NodeRouting
from pipeline.balancer.haproxy.quoting import quote, regsub
from pipeline.balancer.haproxy.repetition import count_lines, shared_routes
from pipeline.balancer.listener_part import OwnedRule
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.balancer.model.application.action import Action, FixedResponse, Forward, Redirect
from pipeline.balancer.model.application.rule import Rewrite, Transforms
from pipeline.base.identity_cache import IdentityCache

_HOST = "req.fhdr(host),field(1,:)"
# Only the end is cut off, because an IPv6 address holds colons itself. Of a port alone, nothing is left.
_HOST_WITHOUT_PORT = "req.fhdr(host),regsub(:+[0-9]*$,)"
# For each transform: the variable of its result, its field, the condition of a valid result, and the change it makes.
_CHANGES = (
    ("txn.new_host", "host_header_rewrite", "-m len gt 0", "set-header Host"),
    ("txn.new_url", "url_rewrite", "-m beg /", "set-pathq"),
)


class RuleStep(NamedTuple):
    """A rule's number, its owner, its action and its transforms.

    `backend` is that of the first target group that it forwards to. `is_plain`: it does nothing but forward to it.
    """

    rule: int
    owner: str
    action: Action
    transforms: Transforms
    backend: str | None
    is_plain: bool

    @classmethod
    def of(cls, rule: int, owner: str, action: Action, transforms: Transforms) -> RuleStep:
        """Return the step of a rule."""
        forward = action.forward
        backend = backend_name(owner, forward.target_groups[0].target_group) if forward else None
        is_single = forward is not None and not weights.is_weighted(forward)
        is_plain = is_single and not action.jwt_validation and transforms == Transforms()
        return cls(rule, owner, action, transforms, backend, is_plain)


# Most rules stay the same objects when one of them is changed.
_known_step = IdentityCache[OwnedRule, RuleStep](
    lambda owned: RuleStep.of(owned.rule.priority, owned.owner, owned.rule.action, owned.rule.transforms)
)


class Actions:
    """The actions of a listener. `prefix` begins the names of its files and backends. `nodes`: the routing by zones."""

    def __init__(self, effective: EffectiveApplicationListener, prefix: str, config: PlaneConfig) -> None:
        self._prefix = prefix
        self._config = config
        self._secure = effective.listener.secure
        self._port = effective.port
        self._steps = [*map(_known_step, effective.rules)]
        self._steps.append(RuleStep.of(DEFAULT, effective.owner, effective.default_action, Transforms()))
        self._special = [step for step in self._steps if not step.is_plain]
        self._has_zones = bool(effective.balancer.zones)
        self.nodes = NodeRouting(effective, prefix, self._groups, nodes_before(effective, config))

    @property
    def only(self) -> str | None:
        """The backend of every request, if the listener needs no lookup to choose it. Otherwise None."""
        step = self._steps[-1]
        return step.backend if step.is_plain and len(self._steps) == 1 and not self._has_zones else None

    def files(self) -> dict[str, str]:
        """Return the map from rules to backends, and the keys of issuers: name → content."""
        if self.only:
            return {}
        lines = [f"{step.rule} {self._backend(step)}\n" for step in self._steps]
        found = {self._map: "".join(lines), **self.nodes.files()}
        for step in self._special:
            if step.action.jwt_validation:
                found.update(tokens.key_files(step.action.jwt_validation, self._config.key_sets))
        return found

    def weights(self) -> dict[str, dict[str, str]]:
        """Return the map of weights, which may change at run time. Empty if nothing is weighted."""
        found: dict[str, str] = {}
        for step, forward in self._weighted():
            found.update(weights.entries(step.rule, step.owner, forward))
        return {self._weights_file: found} if found else {}

    def lines(self) -> Iterator[str]:
        """Yield `http-request` lines of the frontend, for after the rule is found."""
        if self.only:
            yield from self._threshold_lines(f"http-request set-var(txn.backend) str({self.only})")
            yield from count_lines(self._groups.values(), self.only)
            return
        yield f"http-request set-var(txn.backend) var(txn.rule),map_str({self._map})"
        if weighted := [*self._weighted()]:
            sticky = any(forward.group_stickiness for _, forward in weighted)
            yield from weights.choose(self._weights_file, sticky=sticky)
            yield from weights.choose_alternates(self._weights_file, [(step.owner, found) for step, found in weighted])
            if sticky:
                yield from weights.remember()
        for step in self._special:
            if step.action.jwt_validation:
                yield from tokens.validate(step.rule, step.action.jwt_validation, self._config.key_sets)
            yield from _transform(step)
        yield from _apply_transforms([step.transforms for step in self._special])
        yield from self.nodes.lines()
        yield from self._threshold_lines()
        yield from count_lines(self._groups.values())

    def routes(self) -> Iterator[str]:
        """Yield lines that choose the backend. With too few healthy targets, it is the fail-open one."""
        yield from self._holding_routes()
        for backend, all_targets in self._multi_healthy_backends():
            chosen = f"{{ var(txn.backend) -m str {backend} }} {{ nbsrv({backend}),sub(txn.least) lt 0 }}"
            yield f"use_backend {all_targets} if {chosen}"
        yield from shared_routes(self._groups.values(), self.only)
        yield f"default_backend {self.only}" if self.only else "use_backend %[var(txn.backend)]"

    def _holding_routes(self) -> Iterator[str]:
        """Yield lines that choose the activator for a group that may be scaled to zero and has no target."""
        for backend, group in self._groups.items():
            if group.hold_time is None:
                continue
            chosen = "" if self.only else f"{{ var(txn.backend) -m str {backend} }} "
            has_none = [f"{{ nbsrv({backend}) eq 0 }}"]
            if not group.attributes.needs_one_healthy:
                has_none.append(f"{{ nbsrv({fail_open_backend_of(backend)}) eq 0 }}")
            yield f"use_backend {holding_backend_of(backend)} if {chosen}{' '.join(has_none)}"

    def _threshold_lines(self, *before: str) -> Iterator[str]:
        """Yield lines that look up the number of healthy targets that the group needs, if some group needs several."""
        if self._multi_healthy_backends():
            yield from before
            yield f"http-request set-var(txn.least) var(txn.backend),map_str_int({THRESHOLDS},0)"

    def _multi_healthy_backends(self) -> list[tuple[str, str]]:
        """Return the backends of groups that need several healthy targets, each with its fail-open backend."""
        return [
            (backend, fail_open_backend_of(backend))
            for name, group in self._groups.items()
            if not group.attributes.needs_one_healthy
            for backend in self.nodes.backends(name)
        ]

    @cached_property
    def _groups(self) -> dict[str, ApplicationTargetGroup]:
        """The target groups by their backends."""
        backends = {step.backend for step in self._steps if step.backend}
        backends |= {backend_name(step.owner, g.target_group) for step in self._special for g in step.action.groups()}
        found = ((backend, self._config.groups[backend].settings) for backend in sorted(backends))
        return {backend: group for backend, group in found if isinstance(group, ApplicationTargetGroup)}

    def backends(self) -> Iterator[str]:
        """Yield backends that respond without a target."""
        for step in self._special:
            if step.action.forward is None:
                yield f"backend {self._backend(step)}"
                if step.action.redirect:
                    yield from self._redirect(step.action.redirect)
                if step.action.fixed_response:
                    yield _respond(step.action.fixed_response)
                yield ""

    def _weighted(self) -> Iterator[tuple[RuleStep, Forward]]:
        for step in self._special:
            if step.action.forward and weights.is_weighted(step.action.forward):
                yield step, step.action.forward

    def _backend(self, step: RuleStep) -> str:
        return step.backend or f"{self._prefix}.{step.rule}"

    def _redirect(self, redirect: Redirect) -> Iterator[str]:
        protocol = redirect.protocol.replace("#{protocol}", "HTTPS" if self._secure else "HTTP").lower()
        location = "".join(
            map(self._fill_template, (f"{protocol}://", redirect.host, ":", redirect.port, redirect.path))
        )
        code = redirect.status_code.removeprefix("HTTP_")
        if any("#{host}" in part for part in (redirect.host, redirect.path, redirect.query)):
            # HTTP/1.0 does not require a Host header, and one may consist of a port only.
            yield f"  {deny(400)} if !{{ {_HOST_WITHOUT_PORT} -m len gt 0 }}"
        query = self._fill_template(redirect.query)
        # Without a query in the request, the location must not end with a question mark.
        if redirect.query == "#{query}":
            yield f"  http-request redirect code {code} location {quote(location)} if !{{ query -m len gt 0 }}"
        yield f"  http-request redirect code {code} location {quote(f'{location}?{query}' if query else location)}"

    def _fill_template(self, template: str) -> str:
        """Return a template with ELB's placeholders replaced by HAProxy's expressions."""
        values = {
            "protocol": "https" if self._secure else "http",
            "host": f"%[{_HOST_WITHOUT_PORT}]",
            "port": str(self._port),
            "path": "%[path,regsub(^/,)]",
            "query": "%[query]",
        }
        return re.sub(r"#\{(\w+)\}", lambda found: values[found[1]], template.replace("%", "%%"))

    @property
    def _map(self) -> str:
        return f"{self._prefix}.actions.map"

    @property
    def _weights_file(self) -> str:
        return f"{self._prefix}.weights.map"


def _respond(response: FixedResponse) -> str:
    code = response.status_code
    if not response.message_body:
        return f"  http-request return status {code}"
    # Without quotes, these are the only escapes that can stand for every byte.
    body = "".join(f"\\x{byte:02x}" for byte in response.message_body.encode())
    return f"  http-request return status {code} content-type {response.content_type} string {body}"


def _transform(step: RuleStep) -> Iterator[str]:
    """Yield lines that compute the rewrites of a rule. A host without a match keeps its port."""
    taken = f"if {{ var(txn.rule) -m int {step.rule} }}"
    if rewrite := step.transforms.host_header_rewrite:
        found = f"{{ {_HOST} -m reg -- {quote(rewrite.regex)} }}"
        yield f"http-request set-var(txn.new_host) {_rewrite_expression(_HOST, rewrite)} {taken} {found}"
    if rewrite := step.transforms.url_rewrite:
        yield f"http-request set-var(txn.new_url) {_rewrite_expression('pathq', rewrite)} {taken}"


def _apply_transforms(transforms: Sequence[Transforms]) -> Iterator[str]:
    """Yield lines that apply the rewrites. As in ELB, an empty host or an invalid URL is answered with 500."""
    for variable, name, good, change in _CHANGES:
        if any(getattr(transform, name) for transform in transforms):
            yield f"http-request {change} %[var({variable})] if {{ var({variable}) {good} }}"
            yield f"{deny(500)} if {{ var({variable}) -m found }} !{{ var({variable}) {good} }}"


def _rewrite_expression(fetch: str, rewrite: Rewrite) -> str:
    """Return the expression that replaces the first match."""
    replacement = re.sub(r"\$(\d)", r"\\\1", rewrite.replace.replace("\\", "\\\\"))
    return quote(f"{fetch},{regsub(rewrite.regex, replacement)}")
