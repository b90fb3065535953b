"""The accessories of a pipeline as `pipeline status` and `pipeline accessory list` show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.accessories.backup_files import BackupFiles
from pipeline.accessories.decision import health_of
from pipeline.accessories.deployed import known_accessories
from pipeline.accessories.drift import describe, describe_undeclared, differences
from pipeline.accessories.record import Record, WantedState
from pipeline.base.home import Home
from pipeline.config.accessory import Accessory
from pipeline.engine.container import Container
from pipeline.engine.labels import LABEL_ACCESSORY, LABEL_ROLE, ROLE_ACCESSORY
from pipeline.http.responses.accessory import AccessoryResponse
from pipeline.store.store import Store


@dataclass(frozen=True)
class AccessoryReport:
    """The accessories of pipeline.yaml, of the last deployment and those that were started, by name.

    Values of secrets are not compared.
    """

    accessories: Sequence[AccessoryResponse]

    @classmethod
    def of(
        cls,
        home: Home,
        store: Store,
        pipeline: str,
        settings: Mapping[str, Accessory] | None,
        containers: Sequence[Container] | None,
    ) -> Self:
        """Read what the store and the engine have of them.

        `settings` is None if the file is not known, `containers` if the engine did not answer.
        """
        records = {row.name: Record.from_row(row) for row in store.accessories.all(pipeline)}
        own: dict[str, list[Container]] = {}
        for each in containers or ():
            if each.labels.get(LABEL_ROLE) == ROLE_ACCESSORY:
                own.setdefault(each.labels.get(LABEL_ACCESSORY, ""), []).append(each)
        known = known_accessories(store, pipeline, settings or {})
        found = []
        for name in sorted({*records, *known}):
            backups = BackupFiles(home.backups(pipeline, name)).all()
            found.append(
                _response(
                    name,
                    records.get(name),
                    known.get(name),
                    None if containers is None else own.get(name, []),
                    backups[-1].created_at if backups else None,
                    is_file_known=settings is not None,
                )
            )
        return cls(found)

    @property
    def lines(self) -> list[str]:
        """A line for each difference, and for each accessory that does not run as wanted."""
        return list(self._lines())

    @property
    def text(self) -> list[str]:
        """A line for each accessory, and the lines of `lines`."""
        shown = [f"accessory {each.name}: {', '.join(_described(each))}" for each in self.accessories]
        return [*shown, *self.lines]

    def _lines(self) -> Iterator[str]:
        for each in self.accessories:
            if each.state in ("missing", "exited"):
                yield f"accessory {each.name} does not run: `pipeline accessory start {each.name}`"
            elif each.state == "starting":
                yield f"accessory {each.name} is being started or upgraded"
            elif each.health == "unhealthy":
                yield f"accessory {each.name} is unhealthy: `pipeline accessory logs {each.name}`"
            if each.drift:
                yield describe(each.name, each.drift)
            if each.declared is False:
                yield describe_undeclared(each.name)


def _described(each: AccessoryResponse) -> Iterator[str]:
    yield each.state
    if each.health:
        yield each.health
    yield each.image


def _response(
    name: str,
    record: Record | None,
    declared: Accessory | None,
    containers: Sequence[Container] | None,
    last_backup: object,
    *,
    is_file_known: bool,
) -> AccessoryResponse:
    version = (record.current or record.next) if record else None
    latest = max(containers or (), key=lambda each: (each.is_running, each.created_at), default=None)
    health = None
    if latest is not None and version is not None and latest.is_running:
        health = str(health_of(latest, version.settings.health_check))
    shown = version.settings.image if version else declared.image if declared else ""
    return AccessoryResponse.model_validate(
        {
            "name": name,
            "state": _state(record, latest, is_seen=containers is not None),
            "image": shown,
            "health": health,
            "container": latest.name if latest else None,
            "address": latest.address if latest and latest.is_running else None,
            "declared": True if declared else False if is_file_known else None,
            "drift": differences(record.current, declared) if record and record.current and declared else [],
            "last_backup": last_backup,
        }
    )


def _state(record: Record | None, container: Container | None, *, is_seen: bool) -> str:
    """Return the state in one word."""
    if record is None:
        return "not started"
    if record.next is not None:
        return "starting"
    if record.wanted is not WantedState.RUNNING:
        return "stopped" if record.wanted is WantedState.STOPPED else "being removed"
    if container is None:
        return "missing" if is_seen else "unknown"
    return "running" if container.is_running else container.state
