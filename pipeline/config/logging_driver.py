"""`logging`: Docker's log driver of a container, in Compose's form."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError
from pipeline.config.environment import Value
from pipeline.engine.container_options import CACHE_DISABLED, UNREADABLE_DRIVER, LogDriver

LIMITED_DRIVERS = ("json-file", "local")
"""Docker's log drivers that have the limits in `log`."""
# A plug-in has the name of its image.
_DRIVER = re.compile(r"[a-z0-9]([a-z0-9_./:@-]*[a-z0-9])?")


def _driver(value: str) -> str:
    if not _DRIVER.fullmatch(value):
        raise ValueError(f"{value!r} is not a valid log driver; write one such as json-file, local, journald or syslog")
    return value


class Logging(Model):
    """Docker's log driver, and its options."""

    driver: Annotated[str, AfterValidator(_driver)] | None = Field(
        None, description="Name of the driver, such as local, journald or syslog. None: Docker's default one."
    )
    options: dict[str, Value] = Field({}, description="Options of the driver, as `docker run --log-opt`.")

    @property
    def log_driver(self) -> LogDriver:
        """The driver as the engine takes it."""
        return LogDriver(self.driver, self.options)

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.driver == UNREADABLE_DRIVER and self.options:
            raise FieldError("options", "must be empty with the driver none, which has no options")
        cache = self.options.get(CACHE_DISABLED, "false")
        if cache not in ("true", "false"):
            raise FieldError(("options", CACHE_DISABLED), f"must be true or false, got {cache!r}")
        return self


def unreadable(logging: Logging | None, command: str = "pipeline logs --app") -> str | None:
    """Return what is lost if Docker cannot give back the output of a container, or None. `command` would show it."""
    if logging is None or logging.log_driver.is_readable:
        return None
    why = f"with the driver {logging.driver}" if logging.driver == UNREADABLE_DRIVER else f"with {CACHE_DISABLED}"
    return f"Docker keeps no output {why}, so `{command}` and the errors of failed containers show none"
