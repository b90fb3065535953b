"""The accessories of pipeline.yaml, compared with those that were started. Needs no engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.accessories.drift import describe, describe_undeclared, differences
from pipeline.accessories.record import Record, WantedState
from pipeline.api import StageContext
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.config.accessory import Accessory


class DeclaredAccessories:
    """The accessories of a pipeline.yaml, and how they differ from those in the store."""

    def __init__(self, context: StageContext) -> None:
        self._store = context.store.accessories
        self._pipeline = context.configuration.pipeline.name
        self._secrets = context.configuration.secrets
        self.settings: Mapping[str, Accessory] = context.configuration.pipeline.accessories

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
        for record in self.records():
            settings = self.settings.get(record.name)
            if settings and record.current:
                keys = differences(record.current, settings, self._secrets)
                found |= {record.name: keys} if keys else {}
        return found

    def undeclared(self) -> list[str]:
        """Return the accessories that were started and are not in pipeline.yaml."""
        return [record.name for record in self.records() if record.name not in self.settings]

    def drift_lines(self) -> list[str]:
        """Return one line for each difference, with the command that applies it."""
        lines = [describe(name, keys) for name, keys in self.drift().items()]
        return [*lines, *map(describe_undeclared, self.undeclared())]

    def check(self, name: str) -> Accessory:
        """Return the settings in pipeline.yaml. Raises `ConfigError` if there are none."""
        if name not in self.settings:
            raise _unknown(name, self.settings)
        return self.settings[name]

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
