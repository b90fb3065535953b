"""An accessory, as the control API and `--json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp


class AccessoryResponse(Body):
    """An accessory. `declared` is null if pipeline.yaml is not known, and `drift` has the keys that differ from it."""

    name: str = Field(description="The accessory's name, which is its host name.")
    state: str = Field(
        description="`running`, `stopped`, `starting`, `missing`, `exited`, `being removed` or `not started`; "
        "`unknown` if Docker did not respond in time."
    )
    image: str = Field(description="The image as written in pipeline.yaml.")
    health: str | None = Field(description="`healthy`, `starting` or `unhealthy`; null if it does not run.")
    container: str | None = Field(description="The container's name.")
    address: str | None = Field(description="Its address in the pipeline's network.")
    declared: bool | None = Field(description="Whether pipeline.yaml or the last deployed commit has it.")
    drift: list[str] = Field(description="Keys of pipeline.yaml that differ from the container.")
    last_backup: Timestamp | None = Field(description="Time of the latest complete backup.")
