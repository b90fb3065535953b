"""The explanation of a request: the rule that matches it, and the reasons why earlier rules do not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from pipeline.balancer.access import target_group_name
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveListener, effective_listeners
from pipeline.balancer.evaluation_cost import evaluation_cost
from pipeline.balancer.flow_explanation import SCHEMES
from pipeline.balancer.matching import HttpRequest, Mismatch, match, with_test_traffic
from pipeline.balancer.model import Action, ApplicationTargetGroup
from pipeline.balancer.registry import Registry
from pipeline.balancer.rule_text import format_listener
from pipeline.base.errors import ConfigError

_PORTS = {"http": 80, "https": 443}
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")


@dataclass(frozen=True)
class Question:
    """A request that is not sent. `headers` are lines such as `Name: value`, and `source` is the client's address.

    With an `endpoint`, it is a packet there: see `PacketQuestion`.
    """

    url: str
    method: str = "GET"
    headers: Sequence[str] = ()
    source: str = "127.0.0.1"
    endpoint: str = ""

    @property
    def is_flow(self) -> bool:
        """True for a connection to a network load balancer. Raises `ConfigError` for an invalid URL."""
        return self.split.scheme in SCHEMES

    @property
    def split(self) -> SplitResult:
        """The parts of the URL. Raises `ConfigError` for an invalid one."""
        try:
            # An address and a port alone are those of a connection.
            split = urlsplit(f"tcp://{self.url}" if _PLACE.fullmatch(self.url) else self.url)
            has_port = split.port is not None or split.scheme in _PORTS
            if split.scheme in (*_PORTS, *SCHEMES) and split.hostname and has_port and split.port != 0:
                return split
        except ValueError:
            pass
        raise ConfigError(
            f"{self.url or 'an empty text'} is not a valid URL", hint="http://shop.example.com:8080/path?key=value"
        )

    @property
    def port(self) -> int:
        """The port of the URL, or that of its scheme."""
        split = self.split
        return split.port or _PORTS[split.scheme]

    def request(self) -> HttpRequest:
        """Return the request. Raises `ConfigError` for a part that is invalid."""
        split, pairs = self.split, tuple(_header(header) for header in self.headers)
        if not _METHOD.fullmatch(self.method):
            raise ConfigError(f"method {self.method!r}: must be a name such as GET or POST")
        try:
            ip_address(self.source)
        except ValueError as error:
            raise ConfigError(f"source {self.source}: must be an IP address such as 192.0.2.7") from error
        return HttpRequest(
            method=self.method,
            host=next((value for name, value in pairs if name.lower() == "host"), split.netloc.rpartition("@")[2]),
            path=split.path or "/",
            query=split.query if "?" in self.url.partition("#")[0] else None,
            headers=pairs,
            source=self.source,
        )


@dataclass(frozen=True)
class Explanation:
    """The rule that matches a request, and the earlier ones that do not. `priority` is None for the default action.

    `held`: the target groups that would hold the request, because they have no target, and for how long at most.
    """

    shared: EffectiveApplicationListener
    misses: Sequence[Mismatch]
    priority: int | None
    owner: str
    action: Action
    held: Mapping[str, timedelta] = field(default_factory=dict)

    @cached_property
    def owners(self) -> Mapping[int, str]:
        """The owner of each rule of the listener, by priority."""
        return {owned.rule.priority: owned.owner for owned in self.shared.rules}


def explain(balancer: BalancerReader, question: Question, max_cost: float | None = None) -> Explanation:
    """Return what happens to a request. Raises `ConfigError` without a listener for it.

    `max_cost`: also if it may take longer to evaluate the rules, in seconds. See `evaluation_cost`. A process that has
    other work needs it: `re` holds the interpreter's lock.
    """
    registry = balancer.registry()
    shared, request = _listener(effective_listeners(registry), question), question.request()
    rules = [owned.rule for owned in shared.rules]
    if max_cost is not None and evaluation_cost(rules, request) > max_cost:
        raise ConfigError(
            f"the rules on port {shared.port} take too long to evaluate for this request",
            hint="`pipeline balancer explain` evaluates them outside of the daemon",
        )
    taken, misses = match(rules, request)
    found = next((owned for owned in shared.rules if owned.rule is taken), None)
    priority, owner = (found.rule.priority, found.owner) if found else (None, shared.owner)
    action = with_test_traffic(found.rule.action if found else shared.default_action, request)
    return Explanation(shared, misses, priority, owner, action, _held(registry, owner, action))


def _listener(listeners: Sequence[EffectiveListener], question: Question) -> EffectiveApplicationListener:
    """Return the listener on the URL's port. Raises `ConfigError` if there is none for its protocol."""
    split, port = question.split, question.port
    shared = next((shared for shared in listeners if shared.port == port), None)
    if shared is None:
        known = "; ".join(map(format_listener, listeners))
        raise ConfigError(f"no listener has port {port}", hint=f"declared: {known}" if known else "nothing is declared")
    if not isinstance(shared, EffectiveApplicationListener):
        raise ConfigError(
            f"port {port} is of a network load balancer, which has no rules",
            hint=f"pipeline balancer explain tcp://{split.hostname}:{port}",
        )
    if shared.listener.secure != (split.scheme == "https"):
        hint = f"declared: {format_listener(shared)}"
        raise ConfigError(f"the listener on port {port} does not accept {split.scheme}", hint=hint)
    return shared


def _header(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"header {header}: must have the form 'Name: value'")
    return name.strip(), value.strip()


def _held(registry: Registry, owner: str, action: Action) -> dict[str, timedelta]:
    held = {}
    for part in action.groups():
        group = registry.group(owner, part.target_group)
        targets = registry.registrations(owner, part.target_group)
        if isinstance(group, ApplicationTargetGroup) and group.hold_time and not any(one.admitted for one in targets):
            held[target_group_name(owner, part.target_group)] = group.hold_time
    return held
