"""The section `accessories`: databases, caches and the like, which no deployment replaces."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.cron import Cron
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration, Whole
from pipeline.base.time_zone import TimeZone
from pipeline.config.container_settings import ContainerSettings
from pipeline.config.container_values import ImageName
from pipeline.config.published_port import PublishedPorts, published_port
from pipeline.config.service import ServiceHealthCheck
from pipeline.config.steps import Command
from pipeline.engine.container import PublishedPort

_TIMEOUT = timedelta(hours=1)
# Keys that no container is made from, or that apply to containers that are started later.
_OF_NO_CONTAINER = frozenset({"backup", "restore", "start_timeout", "log"})


class Backup(Model):
    """A backup: what a command in the accessory's container prints."""

    command: Command = Field(description="Command that runs in the container. Its output is the backup.")
    schedule: Cron | None = Field(
        None, description="Cron expression of five fields at which the daemon makes a backup. None: only on demand."
    )
    timezone: TimeZone | None = Field(
        None, description="Time zone of `schedule`, such as Europe/Berlin. None: local time."
    )
    keep: Whole = Field(7, ge=1, le=10_000, description="Number of backups that are kept. Older ones are deleted.")
    timeout: Duration = Field(_TIMEOUT, description="Maximum duration. After it, the backup fails.")

    @model_validator(mode="after")
    def _check_timezone(self) -> Self:
        if self.timezone and self.schedule is None:
            raise FieldError("timezone", "requires schedule")
        return self


class Restore(Model):
    """The restore of a backup: a command in the accessory's container that reads it."""

    command: Command = Field(description="Command that runs in the container. It gets the backup as its input.")
    timeout: Duration = Field(_TIMEOUT, description="Maximum duration. After it, the restore fails.")


class Accessory(ContainerSettings):
    """A container beside the services, such as a database. The services reach it by its name.

    A deployment starts it before the first service and never replaces it. `pipeline accessory upgrade` does.
    """

    image: ImageName = Field(description="Image of the accessory, such as postgres:16, pulled if it is missing.")
    health_check: ServiceHealthCheck = Field(
        ServiceHealthCheck(), description="Health of the container. A deployment waits for it."
    )
    start_timeout: Duration = Field(
        timedelta(minutes=2), description="Time for a started container to become healthy. After it, the start fails."
    )
    ports: PublishedPorts = Field(
        (),
        description="Ports of this machine that lead to the container: `[ADDRESS:]PORT:CONTAINER_PORT[/udp]`. Without "
        "an address, it is 127.0.0.1. Services need none.",
    )
    backup: Backup | None = Field(None, description="Backup of the accessory's data. None: it has no backups.")
    restore: Restore | None = Field(None, description="Restore of a backup. None: not possible.")

    @property
    def published(self) -> tuple[PublishedPort, ...]:
        """The ports of this machine that lead to the container."""
        return tuple(map(published_port, self.ports))

    def made_from(self) -> dict[str, Any]:
        """Return the settings that its container is made from, besides the defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(_OF_NO_CONTAINER), exclude_defaults=True)

    @model_validator(mode="after")
    def _check_restore(self) -> Self:
        if self.restore and not self.backup:
            raise FieldError("restore", "requires backup, because it restores what a backup has written")
        return self
