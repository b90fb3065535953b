"""The judges of a deployment, made from the settings of its services."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.alarms.condition import CountCondition
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.api import StageContext
from pipeline.balancer.access import target_group_name
from pipeline.balancer.alternate import alternate_name
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import SharedGroup, TargetHealth
from pipeline.config.service import ServiceSettings
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.runtime import Replica, Runtime
from pipeline.event_kinds import EventKind
from pipeline.store.deployment_evidence import EvidenceStart
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.alarm_judge import AlarmJudge
from stages.deploy.judge import Judge, NoJudge
from stages.deploy.probes import Probes
from stages.deploy.release_windows import ReleaseTraffic
from stages.deploy.restart_count import RestartCount


class AlarmJudges:
    """Makes the judge of each service in a deployment: by its `rollback_on`, or one that never raises an alarm."""

    def __init__(self, context: StageContext, balancer: Balancer, runtime: Runtime) -> None:
        self._context = context
        self._balancer = balancer
        self._runtime = runtime

    def __call__(self, spec: ServiceSpec, release: int) -> Judge:
        """Return the judge of a release of a service, whose first look is when the release receives traffic."""
        if spec.settings.rollback_on is None:
            return NoJudge()
        return self._judge(spec.name, release, spec.settings, spec.settings.rollback_on)

    def _judge(self, service: str, release: int, settings: ServiceSettings, rollback_on: RollbackOn) -> AlarmJudge:
        context, clock = self._context, self._context.clock
        new = _NewRelease.of(context, self._balancer, release, service, settings)
        counted = {each.metric for each in rollback_on.conditions if isinstance(each, CountCondition)}
        # Each costs a question to HAProxy or Docker every second.
        unhealthy = new.unhealthy if "unhealthy_targets" in counted else _zero
        pipeline = context.configuration.pipeline.name
        restarts = RestartCount(self._runtime, pipeline, new.replicas) if "restarts" in counted else None
        variables = self._variables(service, release)
        return AlarmJudge(
            rollback_on,
            new.traffic,
            self._balancer.access_log(),
            start=_Start(context, release, service, restarts).find,
            clock=clock,
            probes=Probes(rollback_on.conditions, clock, context.configuration.directory, variables),
            events=AlarmEvents(context.events, clock, service, release),
            cancelled=context.cancelled,
            unhealthy=unhealthy,
            restarts=restarts.value if restarts else _zero,
        )

    def _variables(self, service: str, release: int) -> dict[str, str]:
        """Return the environment of commands, besides what every program of Penstock gets."""
        pipeline = self._context.configuration.pipeline.name
        active = self._context.store.releases.active(pipeline)
        return {
            "PENSTOCK_PIPELINE": pipeline,
            "PENSTOCK_SERVICE": service,
            "PENSTOCK_RELEASE": str(release),
            **({"PENSTOCK_PREVIOUS_RELEASE": str(active.number)} if active else {}),
        }


def _zero() -> int:
    return 0


@dataclass(frozen=True)
class _NewRelease:
    """The new release of a service: its traffic, its targets and its replicas.

    `group` is the target group with its targets, of `owner`. None if it has none.
    """

    balancer: Balancer
    release: int
    service: str
    owner: str | None
    group: str | None
    traffic: ReleaseTraffic

    @classmethod
    def of(
        cls, context: StageContext, balancer: Balancer, release: int, service: str, settings: ServiceSettings
    ) -> _NewRelease:
        configured, home, strategy = context.configuration.pipeline, settings.target_group, settings.strategy
        declared = configured.balancer
        owner = declared.group_owner if isinstance(declared, SharedGroup) else configured.name
        alternate = alternate_name(home) if home and strategy and strategy.is_shifting else None
        test = strategy.test_traffic if strategy else None
        traffic = ReleaseTraffic(
            replicas=f"{configured.name}.{service}.r",
            release=release,
            home=target_group_name(owner, home) if owner and home else "",
            alternate=target_group_name(owner, alternate) if owner and alternate else None,
            test_port=test.port if test else None,
        )
        return cls(balancer, release, service, owner, alternate or home, traffic)

    def unhealthy(self) -> int:
        """Return the number of its targets that fail their health check now. Raises `BalancerFault`."""
        return sum(health.state.is_unhealthy for health in self._targets())

    def replicas(self, present: Iterable[Replica]) -> Iterator[Replica]:
        """Yield its replicas. Raises `BalancerFault`."""
        # New replicas of the same release, as after `pipeline restart`, are those in the group of the new release.
        registered: Collection[str] = [h.target.id for h in self._targets()] if self.traffic.alternate else ()
        for replica in present:
            is_named = replica.service == self.service and replica.release == self.release
            if is_named and (not self.traffic.alternate or replica.name in registered):
                yield replica

    def _targets(self) -> list[TargetHealth]:
        if self.owner is None or self.group is None:
            return []
        found = self.balancer.target_health(self.owner, self.group)
        named = f"{self.traffic.replicas}{self.release}."
        return [health for health in found if health.target.id.startswith(named)]


@dataclass(frozen=True)
class _Start:
    """The start of the evidence of a service: when the release first received traffic in this deployment."""

    context: StageContext
    release: int
    service: str
    restarts: RestartCount | None

    def find(self) -> datetime:
        """Return the start, which is before a kill, or now. Restarts count from it. Raises system faults."""
        store = self.context.store
        deployment = store.deployments.open(self.context.configuration.pipeline.name)
        found = store.deployment_evidence.start(deployment.id, self.service) if deployment else None
        if found is None:
            found = EvidenceStart(self.context.clock.now().wall, self.restarts.exits() if self.restarts else {})
            if deployment:
                store.deployment_evidence.begin(deployment.id, self.service, found)
            text = f"{self.service}: release {self.release} receives traffic, its alarms are evaluated"
            since = found.since.isoformat()
            self.context.events.emit(
                EventKind.ALARM_STARTED, text, service=self.service, release=self.release, since=since
            )
        if self.restarts:
            self.restarts.start_after(found.exits)
        return found.since
