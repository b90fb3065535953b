"""What mirrors the requests of a service in a deployment, made from its settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipeline.api import StageContext
from pipeline.balancer.access import target_group_name
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.config.service_spec import ServiceSpec
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.judge import Mirroring
from stages.deploy.mirror_client import MirrorClient
from stages.deploy.mirror_judge import MirrorJudge, mirror_conditions
from stages.deploy.mirror_traffic import MirrorTraffic
from stages.deploy.paired_targets import PairedHealth


class Mirrorings:
    """Makes the mirroring of each service whose strategy has `mirror`."""

    def __init__(self, context: StageContext, balancer: Balancer) -> None:
        self._context = context
        self._balancer = balancer

    def __call__(self, spec: ServiceSpec, release: int, health: Callable[[], PairedHealth]) -> Mirroring:
        """Return what copies requests of the previous release to a release of a service."""
        strategy, home, group = spec.settings.strategy, spec.settings.target_group, spec.group
        assert strategy is not None
        assert home is not None
        settings = strategy.mirror
        assert settings is not None
        is_secure = isinstance(group, ApplicationTargetGroup) and group.protocol == "HTTPS"
        return MirrorJudge(
            settings,
            mirror_conditions(spec.settings.rollback_on),
            self._balancer.access_log(),
            target_group_name(self._context.configuration.pipeline.name, home),
            MirrorTraffic(
                partial(MirrorClient, settings.timeout, is_secure=is_secure),
                settings.max_concurrency,
                settings.max_requests_per_second,
            ),
            health,
            clock=self._context.clock,
            events=AlarmEvents(self._context.events, self._context.clock, spec.name, release),
        )
