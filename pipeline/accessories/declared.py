"""The accessories that are declared, compared with those that were started. Needs no engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.accessories.deployed import as_stored, known_accessories
from pipeline.accessories.drift import describe, describe_undeclared, differences
from pipeline.accessories.record import Record, WantedState
from pipeline.api import StageContext
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.config.accessory import Accessory


class DeclaredAccessories:
    """The accessories of a pipeline.yaml, and how they differ from those in the store.

    The commit that was deployed last may declare others, which count too. With `is_deployment`, the file is that of the
    commit to deploy, and only its accessories count.
    """

    def __init__(self, context: StageContext, *, is_deployment: bool = False) -> None:
        self._context = context
        self._store = context.store.accessories
        self._pipeline = context.configuration.pipeline.name
        self._secrets = context.configuration.secrets
        self._is_deployment = is_deployment

    @property
    def settings(self) -> Mapping[str, Accessory]:
        """The accessories that are declared, by name."""
        found = self._context.configuration.pipeline.accessories
        return found if self._is_deployment else known_accessories(self._context.store, self._pipeline, found)

    @property
    def is_deployed(self) -> bool:
        """True if the last deployment had the same accessories."""
        return self._store.deployed(self._pipeline) == as_stored(self.settings)

    def begin_deployment(self) -> None:
        """Store the accessories that the deployment adds. If it fails, they and those that it drops are declared."""
        self._store.add_deployed(self._pipeline, as_stored(self.settings))

    def finish_deployment(self) -> None:
        """Store the accessories of the deployment as those that are declared."""
        self._store.set_deployed(self._pipeline, as_stored(self.settings))

    def records(self) -> list[Record]:
        """Return the accessories that were started and not removed."""
        return [Record.from_row(row) for row in self._store.all(self._pipeline)]

    @property
    def are_used(self) -> bool:
        """True if the pipeline has accessories, in its file or from an earlier one."""
        return bool(self.settings or self._store.all(self._pipeline))

    def to_start(self) -> list[str]:
        """Return the accessories that were never started, or were stopped by a user."""
        known = {record.name: record for record in self.records()}
        return [name for name in self.settings if not _is_started(known.get(name))]

    def drift(self) -> dict[str, list[str]]:
        """Return the keys that differ from pipeline.yaml, by accessory. Raises `ConfigError` for a missing secret."""
        found: dict[str, list[str]] = {}
        declared = self.settings
        for record in self.records():
            settings = declared.get(record.name)
            if settings and record.current:
                keys = differences(record.current, settings, self._secrets)
                found |= {record.name: keys} if keys else {}
        return found

    def undeclared(self) -> list[str]:
        """Return the accessories that were started and are not declared."""
        declared = self.settings
        return [record.name for record in self.records() if record.name not in declared]

    def drift_lines(self) -> list[str]:
        """Return one line for each difference, with the command that applies it."""
        lines = [describe(name, keys) for name, keys in self.drift().items()]
        return [*lines, *map(describe_undeclared, self.undeclared())]

    def check(self, name: str) -> Accessory:
        """Return the settings that are declared. Raises `ConfigError` if there are none."""
        declared = self.settings
        if name not in declared:
            raise _unknown(name, declared)
        return declared[name]

    def check_known(self, name: str) -> None:
        """Raise `ConfigError` for a name that is neither in pipeline.yaml nor started."""
        known = {*self.settings, *(record.name for record in self.records())}
        if name not in known:
            raise _unknown(name, known)


def _is_started(record: Record | None) -> bool:
    return record is not None and record.next is None and record.wanted is WantedState.RUNNING


def _unknown(name: str, known: Iterable[str]) -> ConfigError:
    names = list(known)
    hint = did_you_mean(name, names) if names else "declare it in the section `accessories` of pipeline.yaml"
    return ConfigError(f"there is no accessory {name}", hint=hint)
