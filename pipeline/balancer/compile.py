"""A declaration as resources, and resources as a declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel

from pipeline.balancer.model import (
    Declaration,
    EndpointsAlone,
    GatewayListener,
    GatewayLoadBalancer,
    Listener,
    LoadBalancer,
    NetworkListener,
    NetworkLoadBalancer,
    Rule,
)
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.application.load_balancer import LoadBalancerSettings
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpoint, GatewayEndpointSettings
from pipeline.balancer.model.gateway.listener import GatewayListenerSettings
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancerSettings
from pipeline.balancer.model.network.listener import NetworkListenerSettings
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancerSettings
from pipeline.balancer.model.protocol import transports
from pipeline.balancer.model.variants import (
    AnyListener,
    AnyListenerSettings,
    AnyLoadBalancer,
    AnyLoadBalancerSettings,
)
from pipeline.balancer.resources import (
    DECLARED,
    BalancerResource,
    CertificateResource,
    EndpointResource,
    EndpointServiceResource,
    ListenerResource,
    LoadBalancerResource,
    Resources,
    RuleResource,
    TargetGroupResource,
    declared_id,
    named_rules,
    with_groups,
)

_Model = TypeVar("_Model", bound=BaseModel)


def compile_declaration(owner: str, declaration: Declaration, known: Resources | None = None) -> Resources:
    """Return the resources of a declaration, at revision 0. Its rules name target groups that it declares.

    A resource of `known` that is declared again as it is stays the same object, so its users can skip it.
    """
    found = _Compilation(owner, declaration, known or Resources()).resources()
    return Resources().with_resources(*found)


class _Compilation:
    """One declaration. Its parts were validated with it, so they are constructed without validation."""

    def __init__(self, owner: str, declaration: Declaration, known: Resources) -> None:
        self._owner = owner
        self._declaration = declaration
        self._known = {resource.id: resource for resource in known.all()}
        self._named = named_rules(frozenset(known.group_names().items()))
        self._groups = {name: self._id(TargetGroupResource.kind, name) for name in declaration.target_groups}

    def resources(self) -> Iterator[BalancerResource]:
        """Yield all resources."""
        for name, group in self._declaration.target_groups.items():
            yield self._make(TargetGroupResource, (name,), name=name, settings=group)
        for name, balancer in sorted(self._declaration.load_balancers.items()):
            yield from self._load_balancer(name, balancer)
        for name, service in sorted(self._declaration.endpoint_services.items()):
            ids = tuple(self._id(LoadBalancerResource.kind, each) for each in service.load_balancers)
            offered = service.model_copy(update={"load_balancers": ids})
            yield self._make(EndpointServiceResource, (name,), name=name, settings=offered)
        for name, endpoint in sorted(self._declaration.endpoints.items()):
            settings = _part(GatewayEndpointSettings, endpoint)
            yield self._make(EndpointResource, (name,), name=name, settings=settings)

    def _load_balancer(self, name: str, balancer: AnyLoadBalancer) -> Iterator[BalancerResource]:
        made = self._make(LoadBalancerResource, (name,), name=name, settings=_balancer_settings(balancer))
        yield made
        times = Counter[tuple[str | int, ...]]()
        for listener in balancer.listeners:
            port = () if isinstance(listener, GatewayListener) else (listener.port,)
            place: tuple[str | int, ...] = (*port, *sorted(transports(listener.protocol) - {"tcp"}))
            # A second listener of a port can only add rules to the first.
            again = (times[place],) if times[place] else ()
            times[place] += 1
            yield from self._listener((name, *place, *again), made.id, listener)

    def _listener(
        self, names: tuple[str | int, ...], balancer: str, listener: AnyListener
    ) -> Iterator[BalancerResource]:
        settings = _settings(listener)
        if settings.default_action:
            action = with_groups(settings.default_action, self._groups)
            settings = settings.model_copy(update={"default_action": action})
        made = self._make(ListenerResource, names, load_balancer=balancer, settings=settings)
        yield made
        for position, certificate in enumerate(listener.certificates):
            values = {"listener": made.id, "certificate": certificate, "position": position}
            yield self._make(CertificateResource, (*names, position), **values)
        for rule in listener.rules:
            yield self._rule(names, made.id, rule)

    def _rule(self, names: tuple[str | int, ...], listener: str, rule: Rule) -> BalancerResource:
        known = self._known.get(self._id(RuleResource.kind, *names, rule.priority))
        # Most rules are declared again, and to make one costs several times more than this comparison.
        if isinstance(known, RuleResource) and self._is_same(known, listener, rule):
            return known
        named = rule.model_copy(update={"action": with_groups(rule.action, self._groups)})
        return self._make(RuleResource, (*names, rule.priority), listener=listener, rule=named)

    def _is_same(self, known: RuleResource, listener: str, rule: Rule) -> bool:
        """Return whether a rule that was made from this declaration is still declared as it is."""
        place = (known.owner, known.made_by, known.listener, known.tags)
        return place == (self._owner, DECLARED, listener, {}) and self._named(known) == rule

    def _make(self, kind: type[BalancerResource], names: tuple[str | int, ...], **values: Any) -> BalancerResource:
        id_ = self._id(kind.kind, *names)
        made = kind.model_construct(id=id_, owner=self._owner, made_by=DECLARED, **values)
        known = self._known.get(id_)
        # The registry sets the other fields.
        return known if known and known.bare() == made else made

    def _id(self, kind: str, *names: str | int) -> str:
        return declared_id(self._owner, kind, *names)


def decompile(owner: str, resources: Resources) -> Declaration | None:
    """Return the declaration of an owner, with listeners by port and rules by priority, or None."""
    own = [r for r in resources.all() if r.owner == owner and r.made_by == DECLARED]
    names = {r.id: r.name for r in own if isinstance(r, TargetGroupResource)}
    balancers = {r.name: r for r in own if isinstance(r, LoadBalancerResource)}
    endpoints = _endpoints(own)
    if not names or not balancers:
        return EndpointsAlone.model_construct(**endpoints) if endpoints else None
    return Declaration.model_construct(
        target_groups={r.name: r.settings for r in own if isinstance(r, TargetGroupResource)},
        load_balancers={name: _balancer(found, own, names) for name, found in balancers.items()},
        **endpoints,
    )


def _endpoints(own: list[BalancerResource]) -> dict[str, Any]:
    """Return the sections of endpoints that a declaration has."""
    names = {r.id: r.name for r in own if isinstance(r, LoadBalancerResource)}
    services = {
        r.name: r.settings.model_copy(update={"load_balancers": tuple(map(names.get, r.settings.load_balancers))})
        for r in own
        if isinstance(r, EndpointServiceResource)
    }
    endpoints = {
        r.name: GatewayEndpoint.model_construct(**_given(r.settings)) for r in own if isinstance(r, EndpointResource)
    }
    found = {"endpoint_services": services, "endpoints": endpoints}
    return {name: section for name, section in found.items() if section}


def _balancer(
    found: LoadBalancerResource, own: list[BalancerResource], names: dict[str, str]
) -> LoadBalancer | NetworkLoadBalancer | GatewayLoadBalancer:
    given: dict[str, Any] = {**_given(found.settings), "listeners": tuple(_listeners(found, own, names))}
    if isinstance(found.settings, LoadBalancerSettings):
        return LoadBalancer.model_construct(**given)
    if isinstance(found.settings, GatewayLoadBalancerSettings):
        return GatewayLoadBalancer.model_construct(**given)
    return NetworkLoadBalancer.model_construct(**given)


def _listeners(
    balancer: LoadBalancerResource, own: list[BalancerResource], names: dict[str, str]
) -> Iterator[AnyListener]:
    found = [r for r in own if isinstance(r, ListenerResource) and r.load_balancer == balancer.id]
    for listener in sorted(found, key=lambda listener: listener.settings.port):
        given = _given(listener.settings)
        if listener.settings.default_action:
            given["default_action"] = with_groups(listener.settings.default_action, names)
        certificates = [r for r in own if isinstance(r, CertificateResource) and r.listener == listener.id]
        if certificates:
            given["certificates"] = tuple(r.certificate for r in sorted(certificates, key=lambda r: r.position))
        if rules := tuple(_rules(listener, own, names)):
            given["rules"] = rules
        yield _listener(listener.settings, given)


def _listener(settings: AnyListenerSettings, given: dict[str, Any]) -> AnyListener:
    if isinstance(settings, GatewayListenerSettings):
        return GatewayListener.model_construct(**{name: value for name, value in given.items() if name != "protocol"})
    if isinstance(settings, ListenerSettings):
        return Listener.model_construct(**given)
    return NetworkListener.model_construct(**given)


def _rules(listener: ListenerResource, own: list[BalancerResource], names: dict[str, str]) -> Iterator[Rule]:
    found = [r.rule for r in own if isinstance(r, RuleResource) and r.listener == listener.id]
    for rule in sorted(found, key=lambda rule: rule.priority):
        yield rule.model_copy(update={"action": with_groups(rule.action, names)})


def _balancer_settings(balancer: AnyLoadBalancer) -> AnyLoadBalancerSettings:
    if isinstance(balancer, LoadBalancer):
        return _part(LoadBalancerSettings, balancer)
    if isinstance(balancer, GatewayLoadBalancer):
        return _part(GatewayLoadBalancerSettings, balancer)
    return _part(NetworkLoadBalancerSettings, balancer)


def _settings(listener: AnyListener) -> AnyListenerSettings:
    if isinstance(listener, GatewayListener):
        # What is stored tells the kinds of listeners apart by their protocols.
        return GatewayListenerSettings.model_construct(**_given(listener), protocol=listener.protocol)
    if isinstance(listener, Listener):
        return _part(ListenerSettings, listener)
    return _part(NetworkListenerSettings, listener)


def _part(model: type[_Model], whole: BaseModel) -> _Model:
    """Return the fields that `model` shares with a declared object. Fields that were left out stay unset."""
    given = _given(whole)
    return model.model_construct(**{name: given[name] for name in model.model_fields if name in given})


def _given(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}
