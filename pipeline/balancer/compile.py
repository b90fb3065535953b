"""A declaration as resources, and resources as a declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel

from pipeline.balancer.model import Declaration, Listener, LoadBalancer, Rule
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.application.load_balancer import LoadBalancerSettings
from pipeline.balancer.resources import (
    DECLARED,
    BalancerResource,
    CertificateResource,
    ListenerResource,
    LoadBalancerResource,
    Resources,
    RuleResource,
    TargetGroupResource,
    declared_id,
    with_groups,
)

_Model = TypeVar("_Model", bound=BaseModel)


def compile_declaration(owner: str, declaration: Declaration) -> Resources:
    """Return the resources of a declaration, at revision 0. Its rules name target groups that it declares."""
    # The parts were validated with the declaration, so they are constructed without validation.
    ids = {name: declared_id(owner, TargetGroupResource.kind, name) for name in declaration.target_groups}
    found: list[BalancerResource] = [
        TargetGroupResource.model_construct(id=ids[name], owner=owner, made_by=DECLARED, name=name, settings=group)
        for name, group in declaration.target_groups.items()
    ]
    for name, balancer in sorted(declaration.load_balancers.items()):
        found += _load_balancer(owner, name, balancer, ids)
    return Resources().with_resources(*found)


def _load_balancer(owner: str, name: str, balancer: LoadBalancer, ids: dict[str, str]) -> Iterator[BalancerResource]:
    id_ = declared_id(owner, LoadBalancerResource.kind, name)
    settings = _part(LoadBalancerSettings, balancer)
    yield LoadBalancerResource.model_construct(id=id_, owner=owner, made_by=DECLARED, name=name, settings=settings)
    times = Counter[int]()
    for listener in balancer.listeners:
        # A second listener of a port can only add rules to the first.
        again = (times[listener.port],) if times[listener.port] else ()
        times[listener.port] += 1
        yield from _listener(owner, (name, listener.port, *again), id_, listener, ids)


def _listener(
    owner: str, names: tuple[str | int, ...], balancer: str, listener: Listener, ids: dict[str, str]
) -> Iterator[BalancerResource]:
    id_ = declared_id(owner, ListenerResource.kind, *names)
    settings = _part(ListenerSettings, listener)
    if settings.default_action:
        settings = settings.model_copy(update={"default_action": with_groups(settings.default_action, ids)})
    yield ListenerResource.model_construct(
        id=id_, owner=owner, made_by=DECLARED, load_balancer=balancer, settings=settings
    )
    for position, certificate in enumerate(listener.certificates):
        yield CertificateResource.model_construct(
            id=declared_id(owner, CertificateResource.kind, *names, position),
            owner=owner,
            made_by=DECLARED,
            listener=id_,
            certificate=certificate,
            position=position,
        )
    for rule in listener.rules:
        yield RuleResource.model_construct(
            id=declared_id(owner, RuleResource.kind, *names, rule.priority),
            owner=owner,
            made_by=DECLARED,
            listener=id_,
            rule=rule.model_copy(update={"action": with_groups(rule.action, ids)}),
        )


def decompile(owner: str, resources: Resources) -> Declaration | None:
    """Return the declaration of an owner, with listeners by port and rules by priority, or None."""
    own = [r for r in resources.all() if r.owner == owner and r.made_by == DECLARED]
    names = {r.id: r.name for r in own if isinstance(r, TargetGroupResource)}
    balancers = {r.name: r for r in own if isinstance(r, LoadBalancerResource)}
    if not names or not balancers:
        return None
    return Declaration.model_construct(
        target_groups={r.name: r.settings for r in own if isinstance(r, TargetGroupResource)},
        load_balancers={
            name: LoadBalancer.model_construct(
                **_given(balancer.settings), listeners=tuple(_listeners(balancer, own, names))
            )
            for name, balancer in balancers.items()
        },
    )


def _listeners(
    balancer: LoadBalancerResource, own: list[BalancerResource], names: dict[str, str]
) -> Iterator[Listener]:
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
        yield Listener.model_construct(**given)


def _rules(listener: ListenerResource, own: list[BalancerResource], names: dict[str, str]) -> Iterator[Rule]:
    found = [r.rule for r in own if isinstance(r, RuleResource) and r.listener == listener.id]
    for rule in sorted(found, key=lambda rule: rule.priority):
        yield rule.model_copy(update={"action": with_groups(rule.action, names)})


def _part(model: type[_Model], whole: BaseModel) -> _Model:
    """Return the fields that `model` shares with a declared object. Fields that were left out stay unset."""
    given = _given(whole)
    return model.model_construct(**{name: given[name] for name in model.model_fields if name in given})


def _given(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}
