"""The accessories of one pipeline, and what users, deployments and the daemon do with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pipeline.accessories.declared import DeclaredAccessories
from pipeline.accessories.drift import differences
from pipeline.accessories.executor import AccessoryExecutor
from pipeline.accessories.images import present_image, pulled_image
from pipeline.accessories.lock import changes_lock, data_lock, try_changes_lock
from pipeline.accessories.record import Record, Version, WantedState
from pipeline.accessories.unnamed_volumes import unnamed_volumes
from pipeline.api import StageContext
from pipeline.base.errors import Cancelled, ConfigError, PenstockError, StageFailed
from pipeline.config.accessory import Accessory
from pipeline.engine.container import Container
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_VERSION
from pipeline.event_kinds import EventKind


class Accessories:
    """Starts, upgrades, stops and removes the accessories of a pipeline.

    What is wanted is in the store before a container changes, so that the daemon or the next command completes what a
    killed process began. Several processes may call each method: a lock orders them.
    """

    def __init__(self, context: StageContext, engine: Engine) -> None:
        self._context = context
        self._engine = engine
        self._pipeline = context.configuration.pipeline.name
        self._executor = AccessoryExecutor(context, engine)
        self._declared = DeclaredAccessories(context)

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start accessories that are declared, by default all, and wait until they are healthy.

        One that runs stays as it is. Raises `StageFailed` if one does not become healthy.
        """
        wanted = list(self._declared.settings if names is None else names)
        for name in wanted:
            self._declared.check(name)
        with self._changing("start"):
            failures = self._each(wanted, self._begin)
            # Also after a failure, so that none is left half started.
            failures += self._each(wanted, lambda name: self._executor.converge(name, self._context.cancelled))
        if failures:
            raise failures[0]

    def upgrade(self, name: str, *, discard: bool = False) -> bool:
        """Replace the container by one of pipeline.yaml, with its image pulled. Return False if nothing differs.

        If the new container does not become healthy, the previous one is started again, and `StageFailed` raised. Data
        in volumes without a name is lost, which is refused unless `discard`.
        """
        settings = self._declared.check(name)
        with self._changing("upgrade", name):
            self._complete(name)
            record = self._executor.record(name)
            if record is None or record.current is None:
                self._begin(name)
                return self._executor.converge(name, self._context.cancelled)
            version = self._next_version(record.current, settings)
            if version is None:
                self._resume(record)
                return False
            if not discard:
                self._check_unnamed_volumes(record)
            self._executor.put(record.starting(version))
            self._executor.converge(name, self._context.cancelled)
        return True

    def stop(self, name: str) -> None:
        """Stop an accessory, until a user or a deployment starts it. One that is not declared is removed.

        A removal that a killed process began is completed.
        """
        with self._changing("stop", name):
            record = self._executor.record(name)
            if record is None:
                self._declared.check(name)
                return
            # A removal is not taken back: its container may be gone.
            is_kept = record.wanted is not WantedState.REMOVED and name in self._declared.settings
            wanted = WantedState.STOPPED if is_kept else WantedState.REMOVED
            self._executor.put(record.reverted().with_wanted(wanted))
            self._executor.converge(name)

    def restart(self, name: str) -> None:
        """Stop the container and start it again, and wait until it is healthy. Starts one that is stopped."""
        with self._changing("restart", name):
            self._complete(name)
            record = self._executor.record(name)
            if record is None:
                self._declared.check(name)
                self._begin(name)
            else:
                self._executor.put(record.with_wanted(WantedState.RUNNING))
                for container in self._executor.containers(name):
                    if container.is_running:
                        self._executor.stop_container(record, container, "it is restarted")
            self._executor.converge(name, self._context.cancelled)

    def remove_all(self) -> list[str]:
        """Stop and remove every container, and return the accessories. Named volumes and backups stay.

        The caller holds the locks of their data, so that no backup or restore is in progress.
        """
        with self._changing("removal"):
            records = self._executor.records()
            for record in records:
                self._executor.put(record.with_wanted(WantedState.REMOVED))
            for record in records:
                self._executor.converge(record.name)
        return [record.name for record in records]

    def recover(self) -> None:
        """Do what `repair` does, and wait until everything that should run is healthy. Raises the first error."""
        with self._changing("recovery"):
            names = [record.name for record in self._executor.records()]
            failures = self._each(names, lambda name: self._executor.converge(name, self._context.cancelled))
        if failures:
            raise failures[0]

    def repair(self) -> bool:
        """Start what should run and does not, and complete what a killed process began. Does not wait for health.

        Return False if an accessory has yet to become healthy, or if another process changes them. Raises the first
        error after all were tried.
        """
        settled: list[bool] = []
        with try_changes_lock(self._context.home, self._pipeline, f"repair of accessories of {self._pipeline}") as held:
            if not held:
                return False
            names = [record.name for record in self._executor.records()]
            failures = self._each(names, lambda name: settled.append(self._executor.converge(name, wait=False)))
        if failures:
            raise failures[0]
        return all(settled)

    def container(self, name: str) -> Container:
        """Return the container of an accessory that runs. The caller holds the lock of its data.

        What a killed process began is completed before, so nothing stops the container while the lock is held. Raises
        `ConfigError` if there is none, and `StageFailed` if its first start fails.
        """
        self._settle(name)
        record = self._executor.record(name)
        version = record.current if record is not None and record.wanted is WantedState.RUNNING else None
        running = [each for each in self._executor.containers(name) if each.state == "running"]
        # Another version that runs was given up, and is stopped by the next repair.
        found = next((each for each in running if version and each.labels.get(LABEL_VERSION) == version.id), None)
        if found is None:
            self._declared.check_known(name)
            raise ConfigError(f"accessory {name} does not run", hint=f"start it with `pipeline accessory start {name}`")
        return found

    def _settle(self, name: str) -> None:
        """Complete a change that is in progress, so that the next repair changes no container that runs."""
        if not _is_unsettled(self._executor.record(name)):
            return
        with self._changing("completion"):
            self._complete(name)
            if _is_unsettled(self._executor.record(name)):
                # The first start of what pipeline.yaml has.
                self._executor.converge(name, self._context.cancelled)

    def _begin(self, name: str) -> None:
        """Let an accessory run, without waiting for its health. Continues what a killed process began."""
        self._complete(name)
        record, secrets = self._executor.record(name), self._context.configuration.secrets
        if record is None:
            settings = self._declared.settings[name]
            image = present_image(self._context, self._engine, settings.image)
            record = Record(name, WantedState.RUNNING).starting(Version.of(settings, image, secrets))
        self._executor.put(record.with_wanted(WantedState.RUNNING))
        self._executor.converge(name, wait=False)

    def _complete(self, name: str) -> None:
        """Complete what a killed process began. Its failure is not that of the caller.

        The first start of a version that pipeline.yaml does not have any more is taken back.
        """
        record = self._executor.record(name)
        if record is None or not _is_unsettled(record):
            return
        version = record.next
        if version is not None and record.current is None:
            settings = self._declared.settings.get(name)
            if settings and not differences(version, settings, self._context.configuration.secrets):
                return
            self._executor.put(record.reverted())
        try:
            self._executor.converge(name, self._context.cancelled)
        except StageFailed as failure:
            text = f"the start of {name} that was interrupted failed: {failure.message}"
            self._context.events.emit(EventKind.ACCESSORY_FAILED, text, accessory=name, reason=failure.message)

    def _each(self, names: Iterable[str], work: Callable[[str], object]) -> list[PenstockError]:
        """Do some work for each accessory, and return the failures. A fault of the engine ends it."""
        failures: list[PenstockError] = []
        for name in names:
            try:
                work(name)
            except (StageFailed, Cancelled) as failure:
                failures.append(failure)
        return failures

    def _resume(self, record: Record) -> None:
        self._executor.put(record.with_wanted(WantedState.RUNNING))
        self._executor.converge(record.name, self._context.cancelled)

    def _next_version(self, current: Version, settings: Accessory) -> Version | None:
        """Return the version of pipeline.yaml, with its image pulled. None if it equals the current one.

        An image that cannot be pulled is used as it is on this machine, if it or the settings differ.
        """
        secrets = self._context.configuration.secrets
        is_changed = bool(differences(current, settings, secrets))
        try:
            image = pulled_image(self._context, self._engine, settings.image)
        except StageFailed as failure:
            local = self._engine.images.id(settings.image)
            if local is None or (local == current.image_id and not is_changed):
                raise
            text = f"{failure.message}; the image on this machine is used"
            self._context.events.emit(EventKind.ACCESSORY_WARNING, text)
            image = local
        return Version.of(settings, image, secrets) if is_changed or image != current.image_id else None

    def _check_unnamed_volumes(self, record: Record) -> None:
        """Refuse to lose data that an image keeps in a volume without a name."""
        assert record.current is not None
        for container in self._executor.containers(record.name):
            inspected = self._engine.containers.inspect(container.id)
            if unnamed := unnamed_volumes(inspected, record.current.settings):
                raise ConfigError(
                    f"accessory {record.name} keeps {', '.join(unnamed)} in a volume without a name, which an upgrade "
                    "would lose",
                    hint="make a backup, and mount a named volume there; --discard loses the data",
                )

    @contextmanager
    def _changing(self, purpose: str, data_of: str | None = None) -> Iterator[None]:
        """Hold the lock for changes. First the lock of the data of one accessory, if its container will be stopped."""
        home, text = self._context.home, f"{purpose} of accessories of {self._pipeline}"
        if data_of is None:
            with changes_lock(home, self._pipeline, text, self._context.cancelled):
                yield
            return
        with (
            data_lock(home, self._pipeline, data_of, f"{purpose} of {data_of}"),
            changes_lock(home, self._pipeline, text, self._context.cancelled),
        ):
            yield


def _is_unsettled(record: Record | None) -> bool:
    """Return whether a change of the version, or a removal, is in progress."""
    return record is not None and (record.next is not None or record.wanted is WantedState.REMOVED)
