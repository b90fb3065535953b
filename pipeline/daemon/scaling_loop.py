"""Auto scaling of one pipeline's services: each control interval it observes, decides, and stores the wanted number.

The number is only stored. The repair loop starts or drains replicas until there are as many, as after any other change:
a deployment preempts it, and a killed daemon continues. So there is one mover of replicas at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta, tzinfo
from functools import lru_cache

import structlog

from pipeline.base.clock import Clock, Stamp
from pipeline.base.errors import PenstockError
from pipeline.base.local_zone import local_zone
from pipeline.config.release import ReleaseSpec
from pipeline.daemon.service_metrics import MetricSource, ServiceMetrics, can_be_zero
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.scaling.bounds import Bounds, bounds_at
from pipeline.scaling.controller import CONTROL_INTERVAL, Decision, decide
from pipeline.scaling.decision_record import DecisionRecord
from pipeline.scaling.observation import Observation, ScalingState
from pipeline.scaling.policy import ScalingPolicy
from pipeline.store.scaling import ScalableTarget

# Of a pipeline without scaling. A deployment, which may change that, wakes the loop.
_IDLE_INTERVAL = timedelta(minutes=10)
# A decision that changes nothing is stored this often, for `pipeline status`. Each write waits for the disk.
_RECORD_INTERVAL = timedelta(minutes=1)
# After a longer time without an observation, it is not known that fewer replicas were enough all the time.
_MAX_GAP = timedelta(minutes=2)
_FIRST = "the first interval is being measured"
_logger = structlog.get_logger(__name__)


class ScalingLoop:
    """Scales the services of one pipeline. One thread at a time calls `step`.

    `changed` is called after a wanted number was stored. It never is while a deployment is open, and one that begins
    takes the newest number.
    """

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        deploy_lock: DeployLock,
        clock: Clock,
        metrics: Callable[[], MetricSource],
        changed: Callable[[], None],
    ) -> None:
        self._pipeline_context = pipeline_context
        self._deploy_lock = deploy_lock
        self._clock = clock
        self._open_metrics = metrics
        self._metrics: MetricSource | None = None
        self._changed = changed
        self._due = 0.0
        self.has_zero = False
        """Whether some service may be scaled to zero, so that `step` is due when requests are held."""
        # Service → the time of the last observation, and of the last stored decision.
        self._observed: dict[str, Stamp] = {}
        self._recorded: dict[str, Stamp] = {}
        self._blind: dict[str, str] = {}

    def step(self) -> timedelta:
        """Decide for each service if it is time, and return the time until the next call."""
        context = self._pipeline_context()
        targets = context.store.scaling.targets(context.pipeline)
        self.has_zero = any(not _policy(target.policy).lowest for target in targets)
        if not targets:
            self.close()
            return _IDLE_INTERVAL
        now, interval = self._clock.monotonic(), CONTROL_INTERVAL.total_seconds()
        is_known = all(target.service in self._observed for target in targets)
        if is_known and now < self._due:
            for target in targets:
                if self._is_awaited(context, target):
                    self._scale(context, target)
            return timedelta(seconds=max(0.0, self._due - self._clock.monotonic()))
        # In step with the interval before it, unless that is long ago.
        self._due = self._due + interval if is_known and now < self._due + interval else now + interval
        for target in targets:
            self._scale(context, target)
        return timedelta(seconds=max(0.0, self._due - self._clock.monotonic()))

    def close(self) -> None:
        """Close the connections. No step may run."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        self._observed, self._recorded, self._blind = {}, {}, {}

    def _is_awaited(self, context: PipelineContext, target: ScalableTarget) -> bool:
        """Return whether requests wait for the first replica of a service. The next interval reports what fails."""
        if context.store.services.wanted(context.pipeline, target.service) != 0:
            return False
        spec = _active_spec(context, target.service)
        self._metrics = self._metrics or self._open_metrics()
        with suppress(PenstockError):
            return spec is not None and self._metrics.held(spec, target.service) > 0
        return False

    def _scale(self, context: PipelineContext, target: ScalableTarget) -> None:
        store, service = context.store, target.service
        spec, count = _active_spec(context, service), store.services.wanted(context.pipeline, service)
        if spec is None or count is None:
            return
        policy, now = _policy(target.policy), self._clock.now()
        if not can_be_zero(spec.service(service)):
            # The release is from before the policy: nothing would hold its requests.
            policy = policy.above_zero()
        zone = policy.zone(local_zone())
        bounds = bounds_at(policy, now.wall.astimezone(zone))
        state = self._state(target, now)
        if reason := self._pause_reason(context, target):
            self._pause(target, now)
            paused = _interrupted(state).model_copy(update={"too_much": None})
            self._remember(context, target, paused, DecisionRecord.unseen(now, count, reason, bounds))
            return
        is_first = service not in self._observed
        self._observed[service] = now
        found = self._read(context, spec, target, policy)
        if found and not found.held and is_first and bounds.limit(count) == count:
            # The metrics are those of a whole interval from the next time on.
            self._remember(context, target, state, DecisionRecord.unseen(now, count, _FIRST, bounds))
            return
        found = found or ServiceMetrics(serving=0)
        starting = _starting(found, count, state, now, spec.services[service].deploy_timeout)
        seen = _observation(found, now, count, starting, zone)
        self._apply(context, target, seen, decide(policy, state, seen), bounds)

    def _pause_reason(self, context: PipelineContext, target: ScalableTarget) -> str:
        """Return why the number must not change now, empty if it may."""
        if target.suspended_at is not None:
            return "scaling is suspended"
        with self._deploy_lock.between_deployments() as is_free:
            is_open = not is_free or context.store.deployments.open(context.pipeline) is not None
        return "a deployment is in progress" if is_open else ""

    def _pause(self, target: ScalableTarget, now: Stamp) -> None:
        """Count requests anew afterwards, and store the next decision at once."""
        self._observed[target.service] = now
        self._recorded.pop(target.service, None)
        if self._metrics is not None:
            self._metrics.forget(target.service)

    def _remember(
        self, context: PipelineContext, target: ScalableTarget, state: ScalingState, record: DecisionRecord
    ) -> None:
        """Store a state that differs from the stored one, although nothing was decided."""
        if state != _stored_state(target.state):
            context.store.scaling.record(target, state.model_dump_json(), record.model_dump_json())

    def _state(self, target: ScalableTarget, now: Stamp) -> ScalingState:
        """Return what the controller remembers. A daemon that was away for long has missed something."""
        state, last = _stored_state(target.state), self._observed.get(target.service)
        if last is None and target.decision:
            last = DecisionRecord.model_validate_json(target.decision).at
        return state if last is not None and now.since(last) <= _MAX_GAP else _interrupted(state)

    def _read(
        self, context: PipelineContext, spec: ReleaseSpec, target: ScalableTarget, policy: ScalingPolicy
    ) -> ServiceMetrics | None:
        """Return the metrics, or None if they cannot be read, which is reported once per reason."""
        self._metrics = self._metrics or self._open_metrics()
        try:
            found = self._metrics.read(spec, target.service, policy.target)
        except PenstockError as error:
            text = context.mask(error.message)
            if self._blind.get(target.service) != text:
                self._blind[target.service] = text
                message = f"{target.service}: cannot read the metrics for scaling: {text}"
                context.events().emit(EventKind.SCALING_BLIND, message, service=target.service, reason=text)
            return None
        self._blind.pop(target.service, None)
        return found

    def _apply(
        self, context: PipelineContext, target: ScalableTarget, seen: Observation, decision: Decision, bounds: Bounds
    ) -> None:
        record = DecisionRecord(
            at=seen.at,
            count=decision.count,
            reason=decision.reason,
            min=bounds.least,
            max=bounds.most,
            serving=seen.serving,
            starting=seen.starting,
            requests=seen.requests,
            connections=seen.connections,
            cpu=seen.cpu,
            response_time=seen.response_time,
        )
        state, text = decision.state.model_dump_json(), record.model_dump_json()
        if decision.count != seen.count:
            with self._deploy_lock.between_deployments() as is_free:
                # If it cannot be stored, what it was made from has changed. The next interval decides again.
                if not is_free or not context.store.scaling.set_count(target, seen.count, decision.count, state, text):
                    return
            self._recorded[target.service] = seen.at
            _emit(context, target.service, seen, record)
            self._changed()
        elif decision.state != _stored_state(target.state) or self._is_record_due(target, seen.at):
            self._recorded[target.service] = seen.at
            context.store.scaling.record(target, state, text)

    def _is_record_due(self, target: ScalableTarget, now: Stamp) -> bool:
        last = self._recorded.get(target.service)
        return last is None or now.since(last) >= _RECORD_INTERVAL


def _active_spec(context: PipelineContext, service: str) -> ReleaseSpec | None:
    """Return the active release, None if the service has no replicas in it."""
    active = context.store.releases.active(context.pipeline)
    spec = ReleaseSpec.parse(active.spec) if active else None
    return spec if spec is not None and service in spec.replicated else None


@lru_cache(maxsize=256)
def _policy(text: str) -> ScalingPolicy:
    return ScalingPolicy.model_validate_json(text)


def _stored_state(text: str) -> ScalingState:
    return ScalingState.model_validate_json(text)


def _interrupted(state: ScalingState) -> ScalingState:
    """Return the state after a time in which nothing was observed."""
    return state.model_copy(update={"low_since": None, "low_peak": 0, "idle_since": None})


def _observation(found: ServiceMetrics, now: Stamp, count: int, starting: int, zone: tzinfo) -> Observation:
    return Observation(
        at=now,
        count=count,
        serving=found.serving,
        starting=starting,
        held=found.held,
        requests=found.requests,
        connections=found.connections,
        cpu=found.cpu,
        response_time=found.response_time,
        zone=zone,
    )


def _starting(found: ServiceMetrics, count: int, state: ScalingState, now: Stamp, limit: timedelta) -> int:
    """Return the number of replicas that are on their way, within the time that they have to become healthy."""
    missing = max(0, count - found.serving)
    is_recent = state.last_out is not None and now.since(state.last_out) <= limit
    return missing if is_recent else min(missing, found.new)


def _emit(context: PipelineContext, service: str, seen: Observation, record: DecisionRecord) -> None:
    kind = EventKind.SCALING_OUT if record.count > seen.count else EventKind.SCALING_IN
    context.events().emit(
        kind,
        f"{service}: {seen.count} → {record.count} replicas: {record.reason}",
        service=service,
        before=seen.count,
        replicas=record.count,
        reason=record.reason,
        min=record.min,
        max=record.max,
        serving=record.serving,
        starting=record.starting,
        requests=record.requests,
        connections=record.connections,
        cpu=record.cpu,
        response_time=record.response_time,
    )
