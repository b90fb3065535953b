"""The way of a request through the load balancers, as a picture lights it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pipeline.http.responses.balancer import ListenerResponse, LoadBalancerResponse, RuleResponse, TargetHealthResponse
from pipeline.http.responses.explanation import ExplanationResponse, FlowExplanationResponse, RequestExplanationResponse
from pipeline.web.topology.words import cut

# A reason repeats a part of the request, which may be very long.
_MAX_REASON = 300


@dataclass(frozen=True)
class Way:
    """The listener and the rule of a request, with the share of each target group that may get it.

    `effect` is what the rule does, empty for a connection. `misses`: why earlier rules do not match, by priority.
    `targets`: for a connection, the share of each target by the names of its group and itself. None for a request,
    which any healthy target of the group may get.
    """

    owner: str
    load_balancer: str
    port: int
    priority: int | str
    groups: Mapping[str, float]
    misses: Mapping[int, str] = field(default_factory=dict)
    targets: Mapping[tuple[str, str], float] | None = None
    effect: str = ""

    @classmethod
    def from_explanation(cls, found: ExplanationResponse) -> Self:
        """Return the way that was explained."""
        if isinstance(found.root, FlowExplanationResponse):
            return cls._of_flow(found.root)
        # The page asks for no packet.
        assert isinstance(found.root, RequestExplanationResponse)
        return cls._of(found.root)

    @classmethod
    def _of(cls, found: RequestExplanationResponse) -> Self:
        return cls(
            found.load_balancer.owner,
            found.load_balancer.name,
            found.port,
            found.priority,
            {each.target_group: each.share for each in found.target_groups if each.share},
            {miss.priority: cut(miss.reason, _MAX_REASON) for miss in found.misses},
            effect=cut(found.effect, _MAX_REASON),
        )

    @classmethod
    def _of_flow(cls, found: FlowExplanationResponse) -> Self:
        owner, groups, targets = found.load_balancer.owner, dict[str, float](), dict[tuple[str, str], float]()
        for node in found.nodes:
            for each in node.targets:
                # The nodes of all zones that the address may mean get equal parts of the connections.
                group, share = f"{owner}.{each.target_group}", each.share / len(found.nodes)
                groups[group] = groups.get(group, 0) + share
                targets[group, each.target.id] = targets.get((group, each.target.id), 0) + share
        lit = {group: share for group, share in groups.items() if share}
        return cls(owner, found.load_balancer.name, found.port, "default", lit, targets=targets)

    def has_balancer(self, balancer: LoadBalancerResponse) -> bool:
        """Return whether it begins at a load balancer."""
        return (balancer.owner, balancer.name) == (self.owner, self.load_balancer)

    def has_rule(self, balancer: LoadBalancerResponse, listener: ListenerResponse, rule: RuleResponse) -> bool:
        """Return whether it goes by a rule."""
        return self.has_listener(balancer, listener) and rule.priority == self.priority

    def has_listener(self, balancer: LoadBalancerResponse, listener: ListenerResponse) -> bool:
        """Return whether it goes by a listener."""
        return self.has_balancer(balancer) and listener.port == self.port

    def has_target(self, group: str, target: TargetHealthResponse) -> bool:
        """Return whether a target may get the request."""
        if group not in self.groups:
            return False
        if self.targets is not None:
            return self.targets.get((group, target.target.id), 0) > 0
        return target.state == "healthy" and target.exited is None

    def verdict(self, balancer: LoadBalancerResponse, listener: ListenerResponse, rule: RuleResponse) -> str:
        """Return what the rule means for the request, in a few words. Empty for rules of other listeners."""
        if not self.has_listener(balancer, listener):
            return ""
        if rule.priority == self.priority:
            return "matches: the request goes this way"
        miss = self.misses.get(rule.priority) if isinstance(rule.priority, int) else None
        return f"does not match: {miss}" if miss else "not evaluated: an earlier rule matches"
