"""The body of a response of the control API and of `--json`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

Timestamp = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


FieldValue = str | int | float | bool | None


class Body(BaseModel):
    """The JSON body of a response."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    def as_data(self) -> dict[str, Any]:
        """Return the model as JSON data."""
        return self.model_dump(mode="json")


class ErrorResponse(Body):
    """The error of a request that was rejected or failed."""

    error: str = Field(description="The error message.")
    hint: str | None = Field(description="A command or key that resolves the error.")
    exit_code: int = Field(description="The exit code of a command that fails with this error.")
