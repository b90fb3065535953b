"""Executes the actions for an accessory, one after the other, until it is as wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from pipeline.accessories.container_spec import container_name, container_spec
from pipeline.accessories.decision import Action, ActionType, decide
from pipeline.accessories.deployed import known_accessories
from pipeline.accessories.images import present_image
from pipeline.accessories.record import Record, Version, WantedState
from pipeline.accessories.unnamed_volumes import unnamed_volumes
from pipeline.api import StageContext
from pipeline.base.errors import Cancelled, EngineFault, NetworkVanished, PenstockError, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.privileges import pids
from pipeline.engine.container import Container
from pipeline.engine.denial import denial_hint
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_ACCESSORY, LABEL_GRACE, ROLE_ACCESSORY
from pipeline.engine.runtime import RestartPolicy
from pipeline.event_kinds import EventKind

_POLL_INTERVAL = timedelta(milliseconds=200)
_DEFAULT_GRACE = "10"
# Docker's errors for a published port. It reports them like faults of its own.
_PORT_ERRORS = ("port is already allocated", "address already in use", "ports are not available", "cannot assign")


class AccessoryExecutor:
    """Brings the accessories of one pipeline into their wanted state. The caller holds the lock of the accessories.

    Every method may be repeated after a crash, in this or another process.
    """

    def __init__(self, context: StageContext, engine: Engine) -> None:
        self._context = context
        self._engine = engine
        self._pipeline = context.configuration.pipeline.name
        self._store = context.store.accessories
        self._began: dict[str, float] = {}
        self._restarted: set[str] = set()
        self._guarded: set[str] = set()
        self._handlers: dict[ActionType, Callable[[Record, Action], PenstockError | None]] = {
            ActionType.START: self._start,
            ActionType.START_AGAIN: self._start_again,
            ActionType.STOP: self._stop,
            ActionType.REMOVE: self._remove,
            ActionType.COMMIT: self._commit,
            ActionType.FAIL: self._fail,
            ActionType.FORGET: self._forget,
            ActionType.UNHEALTHY: self._unhealthy,
        }

    def record(self, name: str) -> Record | None:
        """Return the record of an accessory, or None."""
        row = self._store.get(self._pipeline, name)
        return Record.from_row(row) if row else None

    def records(self) -> list[Record]:
        """Return the records of all accessories of the pipeline."""
        return [Record.from_row(row) for row in self._store.all(self._pipeline)]

    def put(self, record: Record) -> None:
        """Store a record. It is on disk when this returns."""
        self._store.put(self._pipeline, record.as_row())

    def containers(self, name: str) -> list[Container]:
        """Return every container of an accessory, in any state."""
        found = self._engine.containers.for_pipeline(self._pipeline, ROLE_ACCESSORY)
        return [each for each in found if each.labels.get(LABEL_ACCESSORY) == name]

    def converge(self, name: str, cancelled: threading.Event | None = None, *, wait: bool = True) -> bool:
        """Bring an accessory into its wanted state. Return False if it has yet to become healthy and `wait` is not set.

        Raises `StageFailed` if its container does not become healthy, with the container's last lines. A version that
        has never been healthy is then removed, and the previous one runs again. Raises `Cancelled` in the same state.
        """
        failure: PenstockError | None = None
        self._restarted.clear()
        while (record := self.record(name)) is not None:
            action = decide(record, self.containers(name), expired=self._is_expired(record))
            if action.type is ActionType.DONE or (action.type is ActionType.UNHEALTHY and not wait):
                self._guard(record, action)
                break
            if action.type is not ActionType.WAIT:
                failure = self._executed(record, action, failure)
            elif not wait:
                return False
            elif cancelled is not None and self._context.clock.wait(cancelled, _POLL_INTERVAL):
                failure, cancelled = self._cancel(record), None
            elif cancelled is None:
                self._context.clock.wait(threading.Event(), _POLL_INTERVAL)
        if failure is not None:
            if record is not None and record.wanted is WantedState.RUNNING:
                failure.message += "; the previous container runs again"
            raise failure
        return True

    def stop_container(self, record: Record, container: Container, reason: str) -> None:
        """Stop a container. Neither the engine nor a restart of it starts it again."""
        text = f"stopping {container.name}: {reason}"
        self._emit(EventKind.ACCESSORY_STOPPING, record, None, text, container)
        self._engine.containers.set_restart_policy(container.id, RestartPolicy.NO)
        self._guarded.discard(container.id)
        grace = timedelta(seconds=float(container.labels.get(LABEL_GRACE, _DEFAULT_GRACE)))
        self._engine.containers.stop(container.id, grace)

    def _executed(self, record: Record, action: Action, failure: PenstockError | None) -> PenstockError | None:
        """Execute an action, and return the failure to raise at the end: the new one, else the one so far."""
        try:
            return self._handlers[action.type](record, action) or failure
        except StageFailed as second:
            if failure is not None:
                failure.message += f"; and the previous container does not start either: {second.message}"
                raise failure from second
            raise

    def _start(self, record: Record, action: Action) -> PenstockError | None:
        version = action.version
        assert version is not None
        text = f"starting {record.name} from {version.settings.image}"
        self._emit(EventKind.ACCESSORY_STARTING, record, version, text)
        try:
            image = self._engine.images.id(version.image_id)
            image = image or present_image(self._context, self._engine, version.settings.image)
            self._engine.networks.ensure(self._pipeline, again=True)
            spec = container_spec(self._context, self._engine, record.name, version, image)
            self._began[version.id] = self._context.clock.monotonic()
            container = self._engine.containers.start(spec)
        except (StageFailed, EngineFault) as error:
            return self._refused(record, error)
        if record.next is None:
            # It was healthy before.
            self._engine.containers.set_restart_policy(container, RestartPolicy.ALWAYS)
            self._emit_restart(record, version, action)
        return None

    def _start_again(self, record: Record, action: Action) -> PenstockError | None:
        container = action.container
        assert container is not None
        if container.id in self._restarted:
            raise self._failure(record, action.version, container, "exited again")
        self._restarted.add(container.id)
        if record.next is None:
            self._engine.containers.set_restart_policy(container.id, RestartPolicy.ALWAYS)
        if version := action.version:
            self._began[version.id] = self._context.clock.monotonic()
        try:
            self._engine.containers.start_again(container.id)
        except NetworkVanished as error:
            self._remove_without_network(record, container, error)
            return None
        except (StageFailed, EngineFault) as error:
            return self._refused(record, error)
        if action.version is not None:
            self._emit_restart(record, action.version, action)
        return None

    def _remove_without_network(self, record: Record, container: Container, error: NetworkVanished) -> None:
        """Remove a container whose network is gone, so that a new one takes its place on the same volumes.

        Raises `StageFailed` if it keeps data in a volume without a name, which would be lost.
        """
        version = record.next or record.current
        inspected = self._engine.containers.inspect(container.id)
        if version is not None and (unnamed := unnamed_volumes(inspected, version.settings)):
            hint = (
                f"copy the data with `docker cp {container.name}:{unnamed[0]} .`, mount a named volume there, and "
                f"remove the container with `docker rm -v {container.name}`"
            )
            paths = ", ".join(unnamed)
            text = f"{error.message}; a new container would lose {paths}, which is in a volume without a name"
            raise StageFailed(text, hint=hint)
        self._remove(record, Action(ActionType.REMOVE, "its network was removed", container))

    def _stop(self, record: Record, action: Action) -> None:
        assert action.container is not None
        self.stop_container(record, action.container, action.reason)

    def _remove(self, record: Record, action: Action) -> None:
        assert action.container is not None
        self._engine.containers.remove(action.container.id)
        text = f"removed {action.container.name}: {action.reason}"
        self._emit(EventKind.ACCESSORY_REMOVED, record, None, text, action.container)

    def _commit(self, record: Record, action: Action) -> None:
        assert action.container is not None
        # First: after a kill in between, the policy is set again with the commit.
        self._engine.containers.set_restart_policy(action.container.id, RestartPolicy.ALWAYS)
        self._guarded.add(action.container.id)
        self.put(record.committed())
        text = f"{record.name} is healthy" if record.current is None else f"{record.name} was upgraded and is healthy"
        self._emit(EventKind.ACCESSORY_STARTED, record, action.version, text, action.container)
        assert record.next is not None
        inspected = self._engine.containers.inspect(action.container.id)
        if unnamed := unnamed_volumes(inspected, record.next.settings):
            text = (
                f"{record.name} keeps {', '.join(unnamed)} in a volume without a name, which is lost with its "
                "container; name one in volumes"
            )
            self._emit(EventKind.ACCESSORY_WARNING, record, record.next, text)

    def _fail(self, record: Record, action: Action) -> PenstockError:
        assert action.container is not None
        failure = self._failure(record, record.next, action.container, action.reason)
        self._give_up(record, failure)
        return failure

    def _forget(self, record: Record, _: Action) -> None:
        self._store.delete(self._pipeline, record.name)

    def _unhealthy(self, record: Record, action: Action) -> PenstockError:
        assert action.container is not None
        raise self._failure(record, record.current, action.container, action.reason)

    def _cancel(self, record: Record) -> PenstockError:
        """Take a start or an upgrade back that a user has cancelled. Raises `Cancelled` if there is none."""
        cancelled = Cancelled("cancelled")
        if record.next is None:
            raise cancelled
        self.put(record.reverted())
        return cancelled

    def _refused(self, record: Record, error: StageFailed | EngineFault) -> PenstockError:
        """Return the failure of a start that the engine refused. Raises `error` if the version was healthy before."""
        refusal: PenstockError = error
        if isinstance(error, EngineFault):
            if not any(sign in error.message.lower() for sign in _PORT_ERRORS):
                raise error
            refusal = StageFailed(f"accessory {record.name} cannot be started: {error.message}")
        if record.next is None:
            raise refusal
        self._give_up(record, refusal)
        return refusal

    def _give_up(self, record: Record, failure: PenstockError) -> None:
        self.put(record.reverted())
        self._emit(EventKind.ACCESSORY_FAILED, record, record.next, failure.message, fields={"reason": failure.message})

    def _failure(self, record: Record, version: Version | None, container: Container, reason: str) -> StageFailed:
        """Return the error of a container that does not become healthy, with its last lines."""
        tail = self._engine.containers.logs(container.id)
        message = f"accessory {record.name}: {reason}"
        if not container.is_running:
            code = self._engine.containers.inspect(container.id).exit_code
            message = f"accessory {record.name} exited with code {code}"
        elif version is not None and self._is_expired(record):
            limit = format_duration(self._start_timeout(record, version))
            message = f"accessory {record.name} did not become healthy within {limit}"
        hint = None
        if version is not None:
            settings = version.settings
            section = f"accessories.{record.name}"
            hint = denial_hint((message, *tail), section, settings.privileges, pids(settings.pids_limit))
        return StageFailed(message, hint=hint, tail=tail)

    def _is_expired(self, record: Record) -> bool:
        """Return whether the container that should run was given enough time. It begins when this process sees it."""
        version = record.next or record.current
        if version is None:
            return False
        now = self._context.clock.monotonic()
        began = self._began.setdefault(version.id, now)
        return now - began > self._start_timeout(record, version).total_seconds()

    def _start_timeout(self, record: Record, version: Version) -> timedelta:
        """Return the limit in pipeline.yaml, which applies without an upgrade, else that of the version."""
        accessories = self._context.configuration.pipeline.accessories
        declared = known_accessories(self._context.store, self._pipeline, accessories).get(record.name)
        return (declared or version.settings).start_timeout

    def _guard(self, record: Record, action: Action) -> None:
        """Let the engine restart the container after a crash. A process may have been killed before it did so."""
        if action.container is None or record.wanted is not WantedState.RUNNING:
            return
        if action.container.id not in self._guarded:
            self._engine.containers.set_restart_policy(action.container.id, RestartPolicy.ALWAYS)
            self._guarded.add(action.container.id)

    def _emit_restart(self, record: Record, version: Version, action: Action) -> None:
        if record.next is None and action.reason:
            self._emit(
                EventKind.ACCESSORY_RESTARTED, record, version, f"{record.name} was started again: {action.reason}"
            )

    def _emit(
        self,
        kind: EventKind,
        record: Record,
        version: Version | None,
        text: str,
        container: Container | None = None,
        fields: dict[str, str] | None = None,
    ) -> None:
        named = container_name(self._pipeline, record.name, version) if version else None
        image = version.settings.image if version else None
        values = {"accessory": record.name, "container": container.name if container else named, "image": image}
        emit = self._context.events.emit_action if "by" in kind.fields else self._context.events.emit
        emit(kind, text, **{**{k: v for k, v in values.items() if v}, **(fields or {})})
