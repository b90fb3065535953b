"""What one owner has: its resources by ARN, and their ARNs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import (
    DECLARED,
    BalancerResource,
    CertificateResource,
    ListenerResource,
    LoadBalancerResource,
    RuleResource,
    TargetGroupResource,
    groups_of,
)

_R = TypeVar("_R", bound=BalancerResource)
_TYPES = {"application": "app", "network": "net", "gateway": "gwy"}
_SERVICE = "elasticloadbalancing"


@dataclass(frozen=True)
class View:
    """The registry as one call sees it: the resources of the key's owner."""

    registry: Registry
    owner: str
    region: str
    account: str

    @classmethod
    def of(cls, registry: Registry, call: Call) -> View:
        """Return the view of a call."""
        return cls(registry, call.owner, call.region, call.account)

    # ARNs

    def arn(self, resource: BalancerResource) -> str:
        """Return the ARN of a resource, as AWS writes it."""
        match resource:
            case TargetGroupResource():
                return self._arn(self._region(resource), f"targetgroup/{resource.name}/{resource.id}")
            case LoadBalancerResource():
                return self._arn(self._region(resource), f"loadbalancer/{self._path(resource)}")
            case ListenerResource():
                balancer = self.balancer_of(resource)
                return self._arn(self._region(balancer), f"listener/{self._path(balancer)}/{resource.id}")
            case RuleResource():
                return self._rule_arn(self.listener_of(resource), resource.id)
            case CertificateResource():
                known = resource.kept.get("arn")
                region = self._region(self.balancer_of(self.listener_of(resource)))
                return str(known) if known else f"arn:aws:acm:{region}:{self.account}:certificate/{resource.id}"
        raise AssertionError(resource.kind)

    def default_rule_arn(self, listener: ListenerResource) -> str:
        """Return the ARN of the rule that stands for a listener's default action."""
        return self._rule_arn(listener, hashlib.sha256(f"default\0{listener.id}".encode()).hexdigest()[:16])

    def _rule_arn(self, listener: ListenerResource, id_: str) -> str:
        balancer = self.balancer_of(listener)
        return self._arn(self._region(balancer), f"listener-rule/{self._path(balancer)}/{listener.id}/{id_}")

    def _arn(self, region: str, path: str) -> str:
        return f"arn:aws:{_SERVICE}:{region}:{self.account}:{path}"

    def _region(self, resource: BalancerResource) -> str:
        return str(resource.kept.get("region", self.region))

    @staticmethod
    def _path(balancer: LoadBalancerResource) -> str:
        return f"{_TYPES[balancer.settings.type]}/{balancer.name}/{balancer.id}"

    # Resources

    def balancer_of(self, listener: ListenerResource) -> LoadBalancerResource:
        """Return the load balancer of a listener."""
        return self.registry.load_balancers[listener.load_balancer]

    def listener_of(self, made: RuleResource | CertificateResource) -> ListenerResource:
        """Return the listener of a rule or a certificate."""
        return self.registry.listeners[made.listener]

    @cached_property
    def load_balancers(self) -> list[LoadBalancerResource]:
        """The load balancers, oldest first."""
        return self._own(self.registry.load_balancers.values())

    @cached_property
    def target_groups(self) -> list[TargetGroupResource]:
        """The target groups, oldest first."""
        return self._own(self.registry.target_groups.values())

    def listeners(self, balancer: LoadBalancerResource) -> list[ListenerResource]:
        """Return the listeners of a load balancer, oldest first."""
        return self._own(one for one in self.registry.listeners.values() if one.load_balancer == balancer.id)

    def rules(self, listener: ListenerResource) -> list[RuleResource]:
        """Return the rules of a listener by priority."""
        found = (one for one in self.registry.rules.values() if one.listener == listener.id)
        return sorted(found, key=lambda one: one.rule.priority)

    def certificates(self, listener: ListenerResource) -> list[CertificateResource]:
        """Return the certificates of a listener, the default one first."""
        found = (one for one in self.registry.certificates.values() if one.listener == listener.id)
        return sorted(found, key=lambda one: one.position)

    def users(self) -> dict[str, dict[str, LoadBalancerResource]]:
        """Return the load balancers that may forward to each target group, by the ids of both."""
        found: dict[str, dict[str, LoadBalancerResource]] = {}
        actions = [(one, one.settings.default_action) for one in self.registry.listeners.values()]
        actions += [(self.listener_of(one), one.rule.action) for one in self.registry.rules.values()]
        for listener, action in actions:
            for group in groups_of(action):
                found.setdefault(group, {})[listener.load_balancer] = self.balancer_of(listener)
        return found

    def _own(self, found: Iterable[_R]) -> list[_R]:
        return sorted((one for one in found if one.owner == self.owner), key=created_key)

    # Look-ups

    def load_balancer(self, arn: str) -> LoadBalancerResource:
        """Return a load balancer. Raises `LoadBalancerNotFound`."""
        if not arn.startswith(f"arn:aws:{_SERVICE}:"):
            raise AwsError("ValidationError", f"'{arn}' is not a valid load balancer ARN")
        if found := self._find(self.registry.load_balancers.get(_id(arn)), arn):
            return found
        raise AwsError("LoadBalancerNotFound", f"Load balancer '{arn}' not found")

    def target_group(self, arn: str) -> TargetGroupResource:
        """Return a target group. Raises `TargetGroupNotFound`."""
        if found := self._find(self.registry.target_groups.get(_id(arn)), arn):
            return found
        raise AwsError("TargetGroupNotFound", "One or more target groups not found")

    def listener(self, arn: str) -> ListenerResource:
        """Return a listener. Raises `ListenerNotFound`."""
        if found := self._find(self.registry.listeners.get(_id(arn)), arn):
            return found
        raise AwsError("ListenerNotFound", "One or more listeners not found")

    def rule(self, arn: str) -> RuleResource | ListenerResource:
        """Return a rule, or the listener whose default action it stands for. Raises `RuleNotFound`."""
        if found := self._find(self.registry.rules.get(_id(arn)), arn):
            return found
        above = arn.split("/")[-2:-1]
        listener = self.registry.listeners.get(above[0]) if above else None
        if listener and listener.owner == self.owner and self.default_rule_arn(listener) == arn:
            return listener
        raise AwsError("RuleNotFound", "One or more rules not found")

    def _find(self, found: _R | None, arn: str) -> _R | None:
        return found if found and found.owner == self.owner and self.arn(found) == arn else None

    def changeable(self, resource: _R) -> _R:
        """Return a resource that the API may change. Raises `OperationNotPermitted` for one of pipeline.yaml."""
        if resource.made_by == DECLARED:
            reason = f"The {resource.label} is declared in the pipeline.yaml of {resource.owner}; change it there"
            raise AwsError("OperationNotPermitted", reason)
        return resource


def created_key(resource: BalancerResource) -> str:
    """Return a key that sorts resources by the time of their creation. Declared ones come first."""
    return f"{resource.kept.get('created', '')}/{resource.id}"


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
