"""The daemon and its pipelines, as the control API shows them."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body
from pipeline.http.responses.release import ReleaseResponse
from pipeline.http.responses.run import RunResponse


class PipelineResponse(Body):
    """A pipeline of the daemon."""

    name: str = Field(description="The pipeline's name.")
    file: str = Field(description="The pipeline.yaml that declares it.")
    ready: bool = Field(description="True once the daemon holds the pipeline's lock and has started its threads.")
    release: ReleaseResponse | None = Field(description="The active release.")
    last_run: RunResponse | None = Field(description="The latest run.")
    disabled_transitions: dict[str, str] = Field(description="The disabled stages, each with the reason.")


class DaemonResponse(Body):
    """The daemon."""

    version: str = Field(description="The version of Penstock.")
    pipelines: list[str] = Field(description="The names of its pipelines.")
    files: dict[str, str] = Field(description="The pipeline.yaml of each pipeline.")
