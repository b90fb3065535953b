"""Listeners as they run: what several owners declare for one port, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.balancer.model import Action, Declaration, Listener, LoadBalancer, Rule
from pipeline.balancer.model.tls import Certificate
from pipeline.base.errors import ConfigError


@dataclass(frozen=True)
class OwnedRule:
    """A rule and whose it is."""

    owner: str
    rule: Rule


@dataclass(frozen=True)
class SharedListener:
    """A port, who declares it, and the rules of all owners in the order of their priority.

    `owner`, `balancer` and `listener` are those with the default action. Its own certificates come first.
    """

    owner: str
    name: str
    balancer: LoadBalancer
    listener: Listener
    rules: tuple[OwnedRule, ...]
    certificates: tuple[Certificate, ...] = field(default=())

    @property
    def port(self) -> int:
        """The port it answers on."""
        return self.listener.port

    @property
    def address(self) -> str:
        """What it is bound to, unique among listeners."""
        return f"{self.balancer.bind_address}:{self.port}"

    @property
    def default_action(self) -> Action:
        """What happens to a request that no rule takes."""
        assert self.listener.default_action is not None
        return self.listener.default_action

    def actions(self) -> tuple[Action, ...]:
        """The action of every rule, and the default."""
        return (*(owned.rule.action for owned in self.rules), self.default_action)

    def groups(self) -> frozenset[tuple[str, str]]:
        """The target groups it may forward to: owner and name."""
        found = [*((owned.owner, owned.rule.action) for owned in self.rules), (self.owner, self.default_action)]
        return frozenset((owner, group.target_group) for owner, action in found for group in action.groups())

    @property
    def described(self) -> str:
        """It in words, for messages."""
        return f"load balancer {self.name} of {self.owner}"


def shared_listeners(declarations: Mapping[str, Declaration]) -> list[SharedListener]:
    """All listeners by port. Raises `ConfigError` where two owners want the same port, or the same priority.

    The one that comes last in `declarations` is the one that is refused. Rules for a listener that nobody declares
    wait: how to protect them is its owner's to say.
    """
    found: dict[int, list[tuple[str, str, LoadBalancer, Listener]]] = {}
    for owner, declaration in declarations.items():
        for name, balancer, listener in declaration.listeners():
            found.setdefault(listener.port, []).append((owner, name, balancer, listener))
    shared = (_shared(parts) for _, parts in sorted(found.items()))
    return [listener for listener in shared if listener]


def _shared(parts: list[tuple[str, str, LoadBalancer, Listener]]) -> SharedListener | None:
    declaring = [part for part in parts if part[3].default_action is not None]
    if len(declaring) > 1:
        (one, its, _, listener), (other, name, _, _) = declaring[:2]
        raise ConfigError(
            f"port {listener.port} of load balancer {name} of {other} is taken by load balancer {its} of {one}",
            hint="give one of the two listeners another port; to add rules to the other's listener, "
            "leave default_action out",
        )
    rules = [OwnedRule(who, rule) for who, _, _, listener in parts for rule in listener.rules]
    _refuse_same_priority(parts[0][3].port, rules)
    if not declaring:
        return None
    owner, name, balancer, listener = declaring[0]
    _refuse_what_needs_tls(listener, rules)
    _refuse_publishing(owner, name, balancer, parts)
    joined = sorted((part for part in parts if part[0] != owner), key=lambda part: part[0])
    return SharedListener(
        owner=owner,
        name=name,
        balancer=balancer,
        listener=listener,
        rules=tuple(sorted(rules, key=lambda owned: owned.rule.priority)),
        certificates=tuple(c for part in (declaring[0], *joined) for c in part[3].certificates),
    )


def _refuse_same_priority(port: int, rules: list[OwnedRule]) -> None:
    taken: dict[int, str] = {}
    for owned in rules:
        other = taken.setdefault(owned.rule.priority, owned.owner)
        if other != owned.owner:
            raise ConfigError(
                f"priority {owned.rule.priority} on port {port} is taken twice: by {other} and by {owned.owner}",
                hint="give one of the two rules another priority",
            )


def _refuse_what_needs_tls(listener: Listener, rules: list[OwnedRule]) -> None:
    """A rule of another owner's is checked against the listener that it joins."""
    for owned in rules:
        if owned.rule.action.jwt_validation and not listener.secure:
            raise ConfigError(
                f"rule {owned.rule.priority} of {owned.owner} validates tokens, and port {listener.port} is not HTTPS",
                hint="a token sent in the clear is anybody's: give the listener protocol: HTTPS",
            )


def _refuse_publishing(
    owner: str, name: str, balancer: LoadBalancer, parts: list[tuple[str, str, LoadBalancer, Listener]]
) -> None:
    """What is meant for an internal load balancer is not put on one that everybody reaches."""
    for other, its, joining, listener in parts:
        if joining.scheme == "internal" and balancer.scheme != "internal":
            raise ConfigError(
                f"load balancer {its} of {other} is internal, and its rules are for port {listener.port} of "
                f"load balancer {name} of {owner}, which is internet-facing",
                hint="write scheme: internet-facing where that is meant",
            )
