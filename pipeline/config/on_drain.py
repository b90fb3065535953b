"""`deploy.on_drain`: the notice to a container that begins to drain."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError
from pipeline.config.steps import Command

ON_DRAIN = (
    "Notice to a container when its target begins to drain, so that it can close long connections, such as WebSockets. "
    "The drain does not wait for it. None: no notice."
)


class OnDrain(Model):
    """Exactly one of command, signal and http. A failure is a warning."""

    command: Command | None = Field(None, description="Command that is run in the container.")
    signal: Literal["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"] | None = Field(
        None, description="Signal to the container's first process, which must handle it."
    )
    http: str | None = Field(
        None, pattern=r"^/[!-~]*$", description="Path of a POST to the target's port, such as `/drain`."
    )

    @model_validator(mode="after")
    def _check_single(self) -> OnDrain:
        count = sum(way is not None for way in (self.command, self.signal, self.http))
        if count != 1:
            raise FieldError("command", f"exactly one of command, signal and http is required, got {count}")
        return self
