"""The log of a run, as the control API and `pipeline logs --json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body


class RunLogLineResponse(Body):
    """One line of a run's log."""

    at: str = Field(description="Time of the line, in UTC.")
    stage: str = Field(description="The step that wrote it, such as `build` or `test`.")
    text: str = Field(description="The line, with secrets masked.")
    end: int = Field(description="Byte offset of the next line.")


class RunLogResponse(Body):
    """Lines of a run's log that follow each other. Ask again from `next` for those that are written later."""

    lines: list[RunLogLineResponse] = Field(description="The whole lines, oldest first.")
    start: int = Field(description="Byte offset at which they begin.")
    next: int = Field(description="Byte offset of what follows.")
