"""A file that a run's tests have left, as the control API and `--json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body


class ArtifactResponse(Body):
    """A file kept from the test container of a run."""

    run: int = Field(description="The run's number.")
    path: str = Field(description="The path in the test container. Characters that no text can hold are escaped.")
    size: int = Field(description="The size in bytes.")
    url: str = Field(description="The path at which the control API serves it.")
