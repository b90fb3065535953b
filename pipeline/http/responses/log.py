"""The output of containers, as the control API and `--json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body


class LogLineResponse(Body):
    """One line of a replica, or of the run of a job."""

    at: str = Field(description="Time at which the engine got the line, in UTC with nanoseconds.")
    service: str = Field(description="The service, or the job.")
    release: int = Field(description="The release of the replica; 0 if it is not known.")
    replica: str = Field(description="The name of the container.")
    text: str = Field(description="The line, with secrets masked.")


class LogResponse(Body):
    """The last lines of an application."""

    lines: list[LogLineResponse] = Field(description="The lines, by their time.")
    missing: dict[str, str] = Field(description="The hosts that do not answer, each with the reason.")


class AccessoryLogLineResponse(Body):
    """One line of an accessory."""

    at: str = Field(description="Time at which the engine got the line, in UTC with nanoseconds.")
    accessory: str = Field(description="The accessory.")
    container: str = Field(description="The name of the container.")
    text: str = Field(description="The line, with secrets masked.")
