"""The revisions of resources, and the numbers of listeners, which the registry sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count

from pipeline.balancer.endpoint_resources import EndpointResource
from pipeline.balancer.resources import BalancerResource, ListenerResource, LoadBalancerResource, Resources
from pipeline.base.errors import ConfigError


def next_revisions(
    before: Resources, others: Resources, resources: Iterable[BalancerResource]
) -> list[BalancerResource]:
    """Return changed resources with their next revisions, and listeners with their numbers.

    `others` stay, and a number must not clash with theirs. An equal resource stays the same object.
    Raises `ConfigError` for a change of an old revision.
    """
    known = {resource.id: resource for resource in before.all()}
    wanted = list(resources)
    stays = {r.id for r in wanted if isinstance(r, ListenerResource) and _keeps_its_number(r, known.get(r.id))}
    taken = Counter[tuple[int, int]]()
    for listener in before.listeners.values():
        if not listener.is_guest and (listener.id in stays or listener.id in others.listeners):
            taken[listener.settings.port, listener.number] += 1
    found = []
    for resource in wanted:
        if isinstance(resource, ListenerResource):
            former = before.listeners.get(resource.id)
            number = former.number if former and resource.id in stays else _free_number(resource, taken)
            resource = resource.with_number(number)
        if isinstance(resource, LoadBalancerResource):
            known_balancer = before.load_balancers.get(resource.id)
            resource = resource.keeping(known_balancer.shift if known_balancer else resource.shift)
        if isinstance(resource, EndpointResource):
            resource = resource.keeping(before.endpoints.get(resource.id))
        found.append(_next_revision(resource, known.get(resource.id)))
    return found


def _keeps_its_number(wanted: ListenerResource, known: BalancerResource | None) -> bool:
    return (
        isinstance(known, ListenerResource)
        and not known.is_guest
        and not wanted.is_guest
        and known.settings.port == wanted.settings.port
    )


def _free_number(listener: ListenerResource, taken: Counter[tuple[int, int]]) -> int:
    if listener.is_guest:
        return 0
    port = listener.settings.port
    number = next(number for number in count() if not taken[port, number])
    taken[port, number] += 1
    return number


def _next_revision(wanted: BalancerResource, known: BalancerResource | None) -> BalancerResource:
    """Return a resource at its next revision, or the known one if nothing changes."""
    if known is None:
        if wanted.revision:
            raise ConfigError(f"{wanted.label} does not exist any more")
        return wanted.at_revision(1)
    if wanted.revision not in (0, known.revision):
        raise ConfigError(
            f"{wanted.label} is at revision {known.revision}, but the change is for revision {wanted.revision}",
            hint="read it again and repeat the change",
        )
    same = wanted.at_revision(known.revision) == known
    return known if same else wanted.at_revision(known.revision + 1)
