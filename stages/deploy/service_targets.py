"""The targets of one service: in the target group that it should be in, and in those that it leaves."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import SharedGroup
from pipeline.config.release import ReleaseSpec
from pipeline.engine.runtime import Runtime
from stages.deploy.alternate_group import AlternateGroup
from stages.deploy.moving_targets import MemberGroup, MovingTargets
from stages.deploy.paired_targets import PairedTargets
from stages.deploy.replicas import Targets
from stages.deploy.running_targets import RunningTargets
from stages.deploy.shared_targets import SharedTargets

_DELAY = timedelta(seconds=30)
# A service without a target group. No group has this name.
_NO_GROUP = ""


class Place(NamedTuple):
    """Where the replicas of a service are targets.

    `owner` is the owner of their target group: the pipeline itself, or another one. It is None behind no load balancer,
    and `group` is None for a service that gets no requests.
    """

    owner: str | None
    group: str | None

    @property
    def is_group(self) -> bool:
        """Whether the replicas are targets of a load balancer."""
        return self.owner is not None and self.group is not None


class ServiceTargets:
    """Finds the targets of a service at its place.

    `uptime` is how long its containers have to run until they are healthy, if nothing checks them. A service whose
    group is not the pipeline's own may have targets in other groups, from which it moves to this one.
    """

    def __init__(
        self,
        context: StageContext,
        runtime: Runtime,
        balancer: Balancer,
        service: str,
        place: Place,
        uptime: timedelta,
    ) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._runtime = runtime
        self._balancer = balancer
        self._service = service
        self._place = place
        self._uptime = uptime
        self._prefix = f"{self._pipeline}.{service}."
        self.group = place.group or _NO_GROUP
        """The name of the group."""
        self.present = self._present()
        """The targets at the place."""

    @property
    def delay(self) -> timedelta:
        """The deregistration delay of the group as it is now."""
        owner = self._place.owner
        if owner is None or not self._place.is_group:
            return timedelta(0)
        registry = self._balancer.registry()
        known = registry.has_group(owner, self.group)
        return registry.group(owner, self.group).deregistration_delay if known else _DELAY

    def moving(self, template: str | None) -> MovingTargets | None:
        """Return the targets of a service that has replicas in other groups than the wanted one, or behind none.

        Replicas of `template` have to join the wanted one, whatever they were in.
        """
        owner = self._place.owner
        if owner == self._pipeline:
            return None
        former = [self._member(*each) for each in self._former_groups()]
        if self._place.is_group and self._was_behind_none():
            running = RunningTargets(self._runtime, self._pipeline, self._service, self._uptime, excluded=template)
            former.append(MemberGroup(running, "", _never, _never, ""))
        if not former:
            return None
        if owner is not None and self._place.is_group:
            joined = self._member(owner, self.group)
        else:
            # Behind no load balancer, replicas count as soon as they run.
            joined = MemberGroup(self.present, self.group, _always, _never, "")
        return MovingTargets(joined, former, self.delay.total_seconds())

    def paired(self, alternate: AlternateGroup) -> PairedTargets:
        """Return the targets of a service in the home group and in an alternate one."""
        home, other = (
            MemberGroup(SharedTargets(self._balancer, self._pipeline, self._prefix), group, _never, _never, "")
            for group in (self.group, alternate.name)
        )
        return PairedTargets(home, other, lambda: alternate.share, self.delay.total_seconds())

    def left_groups(self) -> list[str]:
        """Return the target groups that the service should have left: those that no listener uses any more."""
        registry = self._balancer.registry()
        return [group for owner, group in self._former_groups() if not registry.is_used(owner, group)]

    def _present(self) -> Targets:
        """Return the targets of the service. A group of another owner may have others, which are not its own."""
        owner = self._place.owner
        if owner is None or not self._place.is_group:
            return RunningTargets(self._runtime, self._pipeline, self._service, self._uptime)
        if owner == self._pipeline:
            return self._balancer
        return SharedTargets(self._balancer, owner, self._prefix)

    def _former_groups(self) -> list[tuple[str, str]]:
        """Return owner and name of the groups in which the service has targets, without the wanted one."""
        if self._place.owner == self._pipeline:
            return []
        found = self._balancer.registry().groups_with(self._prefix)
        return [each for each in found if each != self._place]

    def _member(self, owner: str, group: str) -> MemberGroup:
        targets, registry = SharedTargets(self._balancer, owner, self._prefix), self._balancer.registry
        # A group that was deleted has no targets.
        settings = registry().group(owner, group) if registry().has_group(owner, group) else None
        protocol = f"{settings.protocol} {getattr(settings, 'protocol_version', '')}" if settings else ""
        return MemberGroup(
            targets,
            group,
            gets_traffic=lambda: registry().gets_traffic(owner, group),
            is_used=lambda: registry().is_used(owner, group),
            protocol=protocol,
        )

    def _was_behind_none(self) -> bool:
        """Return whether the service of the active release is behind no load balancer."""
        active = self._context.store.releases.active(self._pipeline)
        spec = ReleaseSpec.parse(active.spec) if active else None
        if spec is None or self._service not in spec.services or not isinstance(spec.balancer, SharedGroup):
            return False
        return not Place(spec.balancer.group_owner, spec.services[self._service].target_group).is_group


def _always() -> bool:
    return True


def _never() -> bool:
    return False
