"""The alternate target group of a service, as its deployment declares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.balancer.alternate import Alternate, alternate_name, shares, with_alternates
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.balancer.model.alternate_group import TestTraffic
from pipeline.balancer.registry import Registry
from pipeline.config.release import ReleaseSpec
from pipeline.config.service import ServiceSettings


@dataclass(frozen=True)
class AlternateChange:
    """A change of the alternate group of `home`: the `share` of the requests that it gets, None to remove it."""

    home: str
    share: float | None


class AlternateGroup:
    """The second target group of a service whose home group is `home`. The registry is the truth about it.

    `declare` declares what the release does, with a change of this group. Each method may be repeated.
    """

    def __init__(
        self, balancer: Balancer, pipeline: str, home: str, declare: Callable[[AlternateChange], None]
    ) -> None:
        self._balancer = balancer
        self._pipeline = pipeline
        self._home = home
        self._declare = declare
        self._known: tuple[Registry, Mapping[str, float]] | None = None
        self.name = alternate_name(home)
        """Its name, which is taken from that of the home group."""

    @property
    def is_declared(self) -> bool:
        """Whether the group exists, and forwards have it, also with a share of 0."""
        return self._home in self._shares()

    @property
    def share(self) -> float:
        """The percentage of the home group's requests that it gets."""
        return self._shares().get(self._home, 0.0)

    def set_share(self, share: float) -> None:
        """Declare the group if it does not exist, and let it get a percentage of the requests."""
        self._declare(AlternateChange(self._home, share))

    def drop(self) -> None:
        """Remove the group."""
        self._declare(AlternateChange(self._home, None))

    def _shares(self) -> Mapping[str, float]:
        """Return the shares in the registry. They are read many times a second, and the registry is rarely another."""
        registry = self._balancer.registry()
        if self._known is None or self._known[0] is not registry:
            declared = registry.declaration(self._pipeline)
            self._known = (registry, shares(declared) if declared else {})
        return self._known[1]


def with_current_alternates(
    wanted: Declaration, former: Declaration | None, spec: ReleaseSpec, change: AlternateChange | None = None
) -> Declaration:
    """Return what a release declares, with the alternate groups of the `former` declaration, and one change."""
    found: dict[str, float | None] = dict(shares(former)) if former else {}
    if change:
        found[change.home] = change.share
    alternates = {
        home: Alternate(share, _test_traffic(spec, home))
        for home, share in found.items()
        # A release that is undone by halves may have left one for a group that this one does not use.
        if share is not None and home in wanted.target_groups and wanted.uses(home)
    }
    return with_alternates(wanted, alternates)


def with_coming_alternates(declared: Declaration, services: Mapping[str, ServiceSettings]) -> Declaration:
    """Return what the deployments of services will declare before they move traffic."""
    alternates = {
        each.target_group: Alternate(0.0, each.strategy.test_traffic)
        for each in services.values()
        if each.target_group and each.strategy and each.strategy.is_shifting
    }
    return with_alternates(declared, alternates) if alternates else declared


def _test_traffic(spec: ReleaseSpec, home: str) -> TestTraffic | None:
    service = spec.service_of(home)
    strategy = spec.services[service].strategy if service else None
    return strategy.test_traffic if strategy else None
